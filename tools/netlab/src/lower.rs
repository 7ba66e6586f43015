//! What a link stands on: the lower device of a macvlan, the other end of a veth pair. By this,
//! two links are found out that are one cable.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use crate::{Link, Links, Namespace, error::sentence};

/// The device that a link stands on: the lower device of a macvlan or macvtap, the other end of a
/// veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lower {
    /// Its number, in its own namespace.
    pub index: u32,
    /// The number that the link's namespace has given to that of the other device. `None`: both
    /// are in the same one.
    pub namespace: Option<i32>,
}

impl Link {
    /// Whether this link of `namespace` stands on that link of `its_namespace`: is a macvlan or
    /// macvtap on it, or the other end of the same veth pair.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn stands_on(
        &self,
        namespace: &Namespace,
        other: &Link,
        its_namespace: &Namespace,
    ) -> io::Result<bool> {
        let Some(lower) = self.lower.filter(|lower| lower.index == other.index) else {
            return Ok(false);
        };
        if namespace == its_namespace {
            return Ok(lower.namespace.is_none());
        }
        let number = namespace.links()?.number_of(its_namespace)?;
        Ok(lower.namespace.is_some() && lower.namespace == number)
    }
}

impl Links {
    /// The number that this namespace has given to another. `None`: it had no need to yet.
    fn number_of(&mut self, namespace: &Namespace) -> io::Result<Option<i32>> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(namespace.as_fd().as_raw_fd() as u32));
        let answer = self.netlink.get(RouteNetlinkMessage::GetNsId(message)).map_err(|error| {
            sentence(format!("the number of {namespace:?} was not told"), error)
        })?;
        let RouteNetlinkMessage::NewNsId(message) = answer else { return Ok(None) };
        Ok(message.attributes.into_iter().find_map(|attribute| match attribute {
            // NETNSA_NSID_NOT_ASSIGNED of linux/net_namespace.h is -1.
            NsidAttribute::Id(number) => (number >= 0).then_some(number),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::{MacvlanMode, test};

    #[test]
    fn ends_of_a_veth_pair_find_each_other_across_namespaces() {
        test::root!();
        let (one, other) = test::pair();
        let a = one.links().unwrap().expect("a").unwrap();
        let b = other.links().unwrap().expect("b").unwrap();
        assert!(a.stands_on(&one, &b, &other).unwrap());
        assert!(b.stands_on(&other, &a, &one).unwrap());
        assert!(!a.stands_on(&one, &a, &one).unwrap());

        // Numbers repeat themselves in each namespace.
        let (third, fourth) = test::pair();
        let other_b = fourth.links().unwrap().expect("b").unwrap();
        assert_eq!(b.index, other_b.index);
        assert!(!a.stands_on(&one, &other_b, &fourth).unwrap());
        assert!(!a.stands_on(&one, &other_b, &third).unwrap());
        let lo = fourth.links().unwrap().expect("lo").unwrap();
        assert!(!lo.stands_on(&fourth, &lo, &fourth).unwrap());

        other.links().unwrap().move_to("b", &one).unwrap();
        let mut links = one.links().unwrap();
        let (a, b) = (links.expect("a").unwrap(), links.expect("b").unwrap());
        assert!(a.stands_on(&one, &b, &one).unwrap() && b.stands_on(&one, &a, &one).unwrap());
    }

    #[test]
    fn macvlan_stands_on_its_lower_device_and_not_the_other_way() {
        test::root!();
        let (one, other) = test::pair();
        let mut links = one.links().unwrap();
        links.add_macvlan("v", "a", MacvlanMode::Bridge).unwrap();
        let (a, v) = (links.expect("a").unwrap(), links.expect("v").unwrap());
        assert!(v.stands_on(&one, &a, &one).unwrap());
        assert!(!a.stands_on(&one, &v, &one).unwrap());
        links.move_to("v", &other).unwrap();
        let v = other.links().unwrap().expect("v").unwrap();
        assert!(v.stands_on(&other, &a, &one).unwrap());
    }
}
