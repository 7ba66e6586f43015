//! What could have been in the place of the router's forwarding table.

use hashbrown::{DefaultHashBuilder, HashMap};
use uswitch_router::{fib::Leaf, prefix::Net};

use crate::tables::{Key, Nets};

/// What all of them can do.
pub trait Table<B> {
    fn build(nets: Nets<B>) -> Self;
    fn lookup(&self, address: B) -> Leaf;
    fn lookup_batch(&self, addresses: &[B], leaves: &mut [Leaf])
    where
        B: Copy,
    {
        for (leaf, address) in leaves.iter_mut().zip(addresses) {
            *leaf = self.lookup(*address);
        }
    }
    fn memory(&self) -> usize;
}

/// DIR-24-8: a table indexed with the first 24 bits, blocks of 256 for what is longer.
pub struct Flat {
    top: Vec<u32>,
    blocks: Vec<[u32; 256]>,
}

const DEEPER: u32 = 1 << 31;

impl Table<u32> for Flat {
    fn build(mut nets: Nets<u32>) -> Flat {
        let mut flat = Flat { top: vec![0; 1 << 24], blocks: Vec::new() };
        // The shorter ones first: the longer ones are written over them.
        nets.sort_unstable_by_key(|(net, _)| net.length());
        for (net, leaf) in nets {
            let (first, last) = (net.first() as usize, net.last() as usize);
            if net.length() <= 24 {
                flat.top[first >> 8..=last >> 8].fill(leaf.index() as u32);
                continue;
            }
            let entry = flat.top[first >> 8];
            if entry & DEEPER == 0 {
                flat.top[first >> 8] = DEEPER | flat.blocks.len() as u32;
                flat.blocks.push([entry; 256]);
            }
            let block = (flat.top[first >> 8] & !DEEPER) as usize;
            flat.blocks[block][first & 0xff..=last & 0xff].fill(leaf.index() as u32);
        }
        flat
    }

    fn lookup(&self, address: u32) -> Leaf {
        let entry = self.top[(address >> 8) as usize];
        Leaf::new(if entry & DEEPER == 0 {
            entry as usize
        } else {
            self.blocks[(entry & !DEEPER) as usize][(address & 0xff) as usize] as usize
        })
    }

    fn memory(&self) -> usize {
        self.top.len() * 4 + self.blocks.len() * 1024
    }
}

/// The first addresses of ranges, in order.
pub struct Search<B> {
    firsts: Vec<B>,
    leaves: Vec<Leaf>,
}

impl<B: Key> Table<B> for Search<B> {
    fn build(mut nets: Nets<B>) -> Search<B> {
        nets.sort_unstable_by_key(|(net, _)| *net);
        let mut search = Search { firsts: vec![B::ZERO], leaves: vec![Leaf::NONE] };
        let mut open: Vec<(Net<B>, Leaf)> = Vec::new();
        let close = |search: &mut Search<B>, open: &mut Vec<(Net<B>, Leaf)>| {
            let ended = open.pop().and_then(|(net, _)| net.last().next());
            if let Some(first) = ended {
                search.push(first, open.last().map_or(Leaf::NONE, |(_, leaf)| *leaf));
            }
        };
        for (net, leaf) in nets {
            while open.last().is_some_and(|(outer, _)| outer.last() < net.first()) {
                close(&mut search, &mut open);
            }
            search.push(net.first(), leaf);
            open.push((net, leaf));
        }
        while !open.is_empty() {
            close(&mut search, &mut open);
        }
        search
    }

    fn lookup(&self, address: B) -> Leaf {
        self.leaves[self.firsts.partition_point(|first| *first <= address) - 1]
    }

    fn memory(&self) -> usize {
        self.firsts.len() * (size_of::<B>() + size_of::<Leaf>())
    }
}

impl<B: Key> Search<B> {
    fn push(&mut self, first: B, leaf: Leaf) {
        self.firsts.push(first);
        self.leaves.push(leaf);
    }
}

/// One hash table for each length that occurs, the longest first.
pub struct Hashes<B> {
    tables: Vec<(u8, HashMap<B, Leaf, DefaultHashBuilder>)>,
}

impl<B: Key> Table<B> for Hashes<B> {
    fn build(mut nets: Nets<B>) -> Hashes<B> {
        nets.sort_unstable_by_key(|(net, _)| std::cmp::Reverse(net.length()));
        let mut tables: Vec<(u8, HashMap<B, Leaf>)> = Vec::new();
        for (net, leaf) in nets {
            if tables.last().is_none_or(|(len, _)| *len != net.length()) {
                tables.push((net.length(), HashMap::default()));
            }
            let (_, table) = tables.last_mut().expect("there is one now");
            table.insert(net.first(), leaf);
        }
        Hashes { tables }
    }

    fn lookup(&self, address: B) -> Leaf {
        let mut found = self.tables.iter();
        let found = found.find_map(|(len, table)| table.get(&address.and(B::mask(*len))));
        found.copied().unwrap_or(Leaf::NONE)
    }

    fn memory(&self) -> usize {
        self.tables.iter().map(|(_, table)| table.allocation_size()).sum()
    }
}

/// Binary search on the lengths that occur (Waldvogel and others 1997): a hash table for each,
/// with markers where something longer is to be found.
pub struct Halved<B> {
    tables: Vec<(u8, HashMap<B, Leaf, DefaultHashBuilder>)>,
}

impl<B: Key> Table<B> for Halved<B> {
    fn build(nets: Nets<B>) -> Halved<B> {
        let Hashes { mut tables } = Hashes::build(nets.clone());
        tables.reverse();
        let mut halved = Halved { tables };
        let mut markers = Vec::new();
        for (net, _) in nets {
            let (mut from, mut to) = (0, halved.tables.len());
            while from < to {
                let middle = (from + to) / 2;
                let (len, table) = &halved.tables[middle];
                if *len >= net.length() {
                    to = middle;
                    continue;
                }
                let key = net.first().and(B::mask(*len));
                if !table.contains_key(&key) {
                    // A marker has the leaf of the longest prefix above it: nobody looks again.
                    let mut above = halved.tables[..middle].iter().rev();
                    let best = above.find_map(|(len, table)| table.get(&key.and(B::mask(*len))));
                    markers.push((middle, key, best.copied().unwrap_or(Leaf::NONE)));
                }
                from = middle + 1;
            }
        }
        for (table, key, leaf) in markers {
            halved.tables[table].1.insert(key, leaf);
        }
        halved
    }

    fn lookup(&self, address: B) -> Leaf {
        let (mut from, mut to, mut best) = (0, self.tables.len(), Leaf::NONE);
        while from < to {
            let middle = (from + to) / 2;
            let (len, table) = &self.tables[middle];
            match table.get(&address.and(B::mask(*len))) {
                Some(leaf) => (from, best) = (middle + 1, *leaf),
                None => to = middle,
            }
        }
        best
    }

    fn memory(&self) -> usize {
        self.tables.iter().map(|(_, table)| table.allocation_size()).sum()
    }
}
