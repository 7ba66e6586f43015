//! The figures that stand: counts.txt, a line a case.

use std::{fmt, fs, io};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/counts.txt");

/// A count may differ by so many per cent: another processor has another memcpy.
const BAND: f64 = 2.0;

/// Instructions by case, in their order, and who compiled what was counted.
pub struct Counts {
    pub compiler: String,
    pub counts: Vec<(String, u64)>,
}

impl Counts {
    /// What counts.txt says.
    pub fn read() -> io::Result<Counts> {
        let text = fs::read_to_string(FILE)?;
        let mut lines = text.lines();
        let compiler = lines.next().unwrap_or_default().to_string();
        let counts = lines.map(|line| {
            let (name, count) = line.rsplit_once(' ').unwrap_or((line, ""));
            let count = count.parse().map_err(|_| io::Error::other(format!("{FILE}: {line}")))?;
            Ok((name.trim().to_string(), count))
        });
        Ok(Counts { compiler, counts: counts.collect::<io::Result<_>>()? })
    }

    /// Makes these the figures that stand.
    pub fn write(&self) -> io::Result<()> {
        fs::write(FILE, self.to_string())
    }

    /// Prints these beside those that stand, and says how many have left their band.
    pub fn beside(&self, standing: &Counts) -> usize {
        let judged = self.compiler == standing.compiler;
        if !judged {
            println!("!! counts.txt is of {}, this is {}", standing.compiler, self.compiler);
            println!("!! so the counts are told and not judged");
        }
        println!("{:<24} {:>12} {:>12} {:>8}", "instructions", "standing", "now", "change");
        let mut faults = 0;
        for (name, now) in &self.counts {
            let Some((_, then)) = standing.counts.iter().find(|(other, _)| other == name) else {
                println!("{name:<24} {:>12} {now:>12}      new: write it down", "-");
                faults += 1;
                continue;
            };
            let change = (*now as f64 / *then as f64 - 1.0) * 100.0;
            let left = judged && change.abs() > BAND;
            let verdict = if left { "  beyond its band" } else { "" };
            println!("{name:<24} {then:>12} {now:>12} {change:>+7.1}%{verdict}");
            faults += usize::from(left);
        }
        if faults > 0 {
            println!("{faults} beyond {BAND} %. If that is meant: `cargo bench -p uswitch-benches");
            println!("--bench instructions -- --write`, and say in the CHANGELOG why.");
        }
        faults
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.compiler)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name:<24} {count:>12}"))
    }
}
