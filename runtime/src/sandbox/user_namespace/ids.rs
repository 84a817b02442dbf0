//! Which ids a user namespace can have. Pure: tables in, maps out.

use std::fmt::Write as _;
use std::ops::Range;

use lambent_images::Owners;

use crate::model::{GROUP_ID, USER_ID};

/// The kernel's text for the map of the host's own namespace.
const WHOLE: [&str; 3] = ["0", "0", "4294967295"];

/// Whether a map, as in `/proc/self/uid_map`, is the host's own.
pub(super) fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(WHOLE)
}

/// The ids inside of a namespace with this map.
pub(super) fn inside(map: &str) -> Vec<Range<u32>> {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let (Some(Ok(first)), _, Some(Ok(count))) =
                (numbers.next(), numbers.next(), numbers.next())
            else {
                return None;
            };
            Some(first..first.saturating_add(count))
        })
        .collect()
}

/// A map in which each of these ids is itself.
///
/// The range of all is written as two: libcontainer takes the number of all ids in
/// a map for the host's own namespace.
pub(super) fn identity(ids: &[Range<u32>]) -> String {
    let mut map = String::new();
    for range in ids {
        let middle = range.start + (range.end - range.start) / 2;
        for part in [range.start..middle, middle..range.end] {
            if !part.is_empty() {
                // To a string it does not fail.
                let _ = writeln!(map, "{} {} {}", part.start, part.start, part.len());
            }
        }
    }
    map
}

/// Whom files can belong to in a namespace with these ids.
pub(super) fn owners(users: Vec<Range<u32>>, groups: Vec<Range<u32>>) -> Owners {
    let has = |ranges: &[Range<u32>], id| ranges.iter().any(|range| range.contains(&id));
    if has(&users, USER_ID) && has(&groups, GROUP_ID) {
        Owners::Mapped { users, groups }
    } else {
        Owners::One {
            user: USER_ID,
            group: GROUP_ID,
        }
    }
}

/// The name of a user in `/etc/passwd`.
pub(super) fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The largest range of `/etc/subuid` or `/etc/subgid` that is a user's, by name or
/// number, if it is large enough for Lambda's.
pub(super) fn subordinate(table: &str, name: Option<&str>, uid: u32) -> Option<Range<u32>> {
    let number = uid.to_string();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let start: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.next()?.parse().ok()?;
            let own = Some(owner) == name || owner == number;
            own.then(|| start..start.saturating_add(count))
        })
        .max_by_key(|range| range.end - range.start)
        // Inside, they are 1 and what follows.
        .filter(|range| range.end - range.start >= USER_ID.max(GROUP_ID))
}

/// The arguments of newuidmap or newgidmap, after the pid: root is the user, and
/// all others are subordinate.
pub(super) fn arguments(own: u32, subordinate: &Range<u32>) -> [String; 6] {
    let count = subordinate.end - subordinate.start;
    [0, own, 1, 1, subordinate.start, count].map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_and_written() {
        let host = "         0          0 4294967295\n";
        assert!(is_whole(host));
        assert!(!is_whole("0 1000 1\n"));
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(inside(rootless), [0..1, 1..65_537]);
        let identity = identity(&inside(host));
        assert_eq!(
            identity,
            "0 0 2147483647\n2147483647 2147483647 2147483648\n"
        );
        let covered: u64 = inside(&identity).iter().map(|ids| ids.len() as u64).sum();
        assert_eq!(covered, 4_294_967_295);
        assert_eq!(super::identity(&inside("0 1000 1")), "0 0 1\n");
    }

    #[test]
    fn without_lambdas_ids_there_is_one_owner() {
        let many = vec![0..1, 1..65_537];
        let few = inside("0 1000 1");
        for (users, groups, one) in [
            (many.clone(), many.clone(), false),
            (few.clone(), many.clone(), true),
            (many.clone(), few, true),
            (vec![0..1, 1..993], many, true),
        ] {
            let found = owners(users.clone(), groups.clone());
            assert_eq!(
                matches!(found, Owners::One { .. }),
                one,
                "{users:?} {groups:?}"
            );
        }
    }

    #[test]
    fn subordinate_ids_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(passwd, 1_000), Some("ann"));
        assert_eq!(name_of(passwd, 1_001), None);
        let table = "root:100000:65536\nann:165536:500\nann:300000:65536\n1001:400000:65536\n\
                     # none\nbob:x:y\n1002:1:10\n";
        for (name, uid, expected) in [
            (Some("ann"), 1_000, Some(300_000..365_536)),
            (None, 1_000, None),
            (None, 1_001, Some(400_000..465_536)),
            (Some("bob"), 1_003, None),
            // Too few for Lambda's user.
            (None, 1_002, None),
        ] {
            assert_eq!(subordinate(table, name, uid), expected, "{uid}");
        }
        assert_eq!(
            arguments(1_000, &(300_000..365_536)),
            ["0", "1000", "1", "1", "300000", "65536"]
        );
    }
}
