//! A link that goes when nobody needs it any more.

use std::io;

use crate::{Namespace, error::refused};

/// Stands for a link that was made here, and deletes it when it is dropped; the other end of a
/// veth pair goes with it. To delete a link takes the kernel some milliseconds, which are spent
/// where this is dropped.
///
/// A link that was moved to another namespace stays, and so does one whose process is killed.
#[derive(Debug)]
pub struct Created {
    namespace: Namespace,
    /// Its number, for it may be renamed meanwhile.
    index: u32,
    kind: String,
    kept: bool,
}

impl Created {
    /// Takes the responsibility for a link that was just made: by [`crate::Links::add_veth`], for
    /// one.
    ///
    /// # Errors
    ///
    /// There is no such link, it is hardware, or what the kernel said.
    pub fn new(namespace: &Namespace, link: &str) -> io::Result<Created> {
        let found = namespace.links()?.expect(link)?;
        let Some(kind) = found.kind else {
            let text = format!("link `{link}` is hardware and was not made by anybody");
            return Err(refused(io::ErrorKind::InvalidInput, text));
        };
        Ok(Created { namespace: namespace.clone(), index: found.index, kind, kept: false })
    }

    /// Lets the link stay.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn delete(&self) -> io::Result<()> {
        let mut links = self.namespace.links()?;
        let found = links.list()?.into_iter().find(|link| link.index == self.index);
        // The kernel gives a number again only when it has used up all others; all the same.
        match found.filter(|link| link.kind.as_ref() == Some(&self.kind)) {
            Some(link) => links.delete(&link.name),
            None => Ok(()),
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is there to be told; what is left can be seen and deleted by anybody.
            let _ = self.delete();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn link_goes_with_its_guard_whatever_its_name_is_by_then() {
        test::root!();
        let (one, other) = test::pair();
        let created = Created::new(&one, "a").unwrap();
        let mut links = one.links().unwrap();
        links.rename("a", "c").unwrap();
        links.add_veth("a", None, "d").unwrap();
        drop(created);
        let names: Vec<_> = links.list().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["lo", "d", "a"]);
        assert_eq!(other.links().unwrap().get("b").unwrap(), None);
    }

    #[test]
    fn link_that_is_kept_stays() {
        test::root!();
        let (one, _other) = test::pair();
        Created::new(&one, "a").unwrap().keep();
        assert!(one.links().unwrap().get("a").unwrap().is_some());
    }

    #[test]
    fn link_that_is_gone_or_was_never_made_is_no_trouble() {
        test::root!();
        let (one, _other) = test::pair();
        let created = Created::new(&one, "a").unwrap();
        one.links().unwrap().delete("a").unwrap();
        drop(created);
        assert_eq!(Created::new(&one, "a").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Created::new(&one, "lo").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
