//! The cgroups of an environment: reading what it used, limiting its CPU,
//! freezing it, removing it.
//!
//! libcontainer creates the groups and writes the limits; what happens after
//! that is done here through descriptors that stay open, because it happens on
//! every invocation and because a descriptor cannot come to mean another group.
//!
//! On a hybrid host (v1 controllers beside an empty v2 hierarchy) the
//! environment is a member of both, and the v2 side freezes: it is faster than
//! the v1 freezer, and frozen processes can be killed.

mod delegation;
mod group;
mod hierarchy;
mod memory;

use std::path::{Path, PathBuf};

use super::protocol::EnvironmentId;

pub(crate) use delegation::delegate;
pub(crate) use group::{Cgroup, CpuUsage, deny_swap};
pub(crate) use hierarchy::{Hierarchies, OWN_VIEW};
pub(crate) use memory::MemoryReading;

/// The parent of all groups of Lambent, below the root of each hierarchy.
pub(crate) const TOP: &str = "/lambent";

/// The group of a service.
pub(crate) fn service_group(service: &str) -> PathBuf {
    Path::new(TOP).join(service)
}

/// The group of one of its environments.
pub(crate) fn environment_group(service: &str, id: EnvironmentId) -> PathBuf {
    service_group(service).join(id.to_string())
}

/// The number behind `name` in a file of `name value` lines; 0 without it.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "rss_huge 7\nrss 5\nmapped_file 3\n";
        assert_eq!(field(text, "rss"), 5);
        assert_eq!(field(text, "mapped_file"), 3);
        assert_eq!(field(text, "mapped"), 0);
    }
}
