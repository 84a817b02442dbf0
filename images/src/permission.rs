//! [`Permission`]: who may do what with a file, by its mode.

/// A permission, as its bit in the mode of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// To read.
    Read = 4,
    /// To execute a file, or to go through a directory.
    Execute = 1,
}

impl Permission {
    /// True if permission bits with this owner and group give it to a user and group.
    pub(crate) fn is_in(self, mode: u32, owner: (u32, u32), user: (u32, u32)) -> bool {
        let shift = match () {
            () if user.0 == owner.0 => 6,
            () if user.1 == owner.1 => 3,
            () => 0,
        };
        mode >> shift & self as u32 != 0
    }
}
