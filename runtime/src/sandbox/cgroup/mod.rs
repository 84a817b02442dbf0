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

mod group;
mod hierarchy;

pub(crate) use group::Cgroup;
pub(crate) use hierarchy::Hierarchies;
