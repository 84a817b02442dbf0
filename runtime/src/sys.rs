//! The only unsafe code of this crate: system calls that `rustix` does not
//! wrap, or wraps as unsafe because they change the whole process.
//!
//! Each function is one call; policy lives with the callers.

#![expect(
    unsafe_code,
    reason = "fork, unshare, seccomp, ioctl and exec have no safe wrapper in rustix"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which side of a [`fork`] the caller is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old process, with the pid of the new one.
    Parent(Pid),
}

/// Duplicates the calling process.
///
/// Only the launcher, the probing process and a command before anything else call
/// this, and each has one thread:
/// so the child may allocate and lock as any program does.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the caller is single-threaded (see above), so no lock can be held
    // by a thread that does not exist in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(
            Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork returned no pid"))?,
        )),
    }
}

/// Ends the process at once: no destructors, no exit handlers. For forked
/// workers, whose exit handlers belong to the launcher.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor but two. For a process that will never return to
/// the code that owns the others.
pub(crate) fn close_all_except(one: BorrowedFd<'_>, other: BorrowedFd<'_>) {
    close_except(0, [one, other]);
}

/// The same, but keeps standard input, output and error.
pub(crate) fn close_from_three_except(one: BorrowedFd<'_>, other: BorrowedFd<'_>) {
    close_except(3, [one, other]);
}

fn close_except(mut first: u32, kept: [BorrowedFd<'_>; 2]) {
    let mut kept = kept.map(|descriptor| descriptor.as_raw_fd().unsigned_abs());
    kept.sort_unstable();
    let lasts = kept.iter().map(|kept| kept.checked_sub(1));
    for (last, next) in lasts
        .chain([Some(u32::MAX)])
        .zip(kept.iter().map(|kept| kept + 1).chain([u32::MAX]))
    {
        if let Some(last) = last.filter(|last| first <= *last) {
            // SAFETY: owners of these descriptors exist in this process's memory,
            // but nothing of it runs again, so none is used or closed twice.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
        first = next;
    }
}

/// The size of what a descriptor for signals has for one.
pub(crate) const SIGNAL_BYTES: usize = 128;

/// Blocks SIGCHLD, and returns a descriptor that is readable when a child has ended.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    const SIGNAL_SET_BYTES: libc::size_t = 8;
    let set = 1_u64 << (libc::SIGCHLD - 1);
    // SAFETY: the kernel reads 8 bytes.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null::<u64>(),
            SIGNAL_SET_BYTES,
        )
    })?;
    // SAFETY: the kernel reads 8 bytes, and makes a new descriptor.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_signalfd4,
            -1,
            &raw const set,
            SIGNAL_SET_BYTES,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )
    };
    check(descriptor)?;
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A child that has ended, if there is one. Until it is reaped its pid and its process
/// group mean it.
pub(crate) fn ended_child() -> io::Result<Option<Pid>> {
    // SAFETY: all zeros are a value of it, and what the kernel leaves if there is none.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one `siginfo_t`, which lives across the call.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) };
    match check(result.into()) {
        // SAFETY: for a child's end the kernel has set this member, or left it 0.
        Ok(()) => Ok(Pid::from_raw(unsafe { info.si_pid() })),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `close_range` may be called: closes none.
pub(crate) fn try_close_range() -> io::Result<()> {
    // SAFETY: no descriptor has the number that is the whole range.
    check(unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) })
}

/// Gives every signal its default action and blocks none: an executed program
/// inherits what is ignored (SIGPIPE by every Rust program, others by whoever
/// started Lambent), and Lambda's functions inherit nothing.
pub(crate) fn reset_signals() {
    const SIGNAL_SET_BYTES: libc::size_t = 8;
    const HIGHEST_SIGNAL: libc::c_int = 64;
    // The kernel's own structure, of which all zeros means the default. The C
    // library's wrapper would refuse the two signals that it keeps for itself.
    let default = [0_u64; 4];
    for signal in 1..=HIGHEST_SIGNAL {
        // SAFETY: the kernel reads 32 bytes; no handler is installed. It refuses
        // KILL and STOP, which are always default.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                SIGNAL_SET_BYTES,
            )
        };
    }
    let none = 0_u64;
    // SAFETY: the kernel reads 8 bytes.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null::<u64>(),
            SIGNAL_SET_BYTES,
        )
    };
}

/// Moves the calling process into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags in use (those of namespaces) leave the descriptor table and
    // the address space alone, which is what rustix marks the call unsafe for.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Replaces the process image. Returns only on failure.
pub(crate) fn execve(path: &CStr, argv: &[CString], envp: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain(std::iter::once(std::ptr::null()))
            .collect()
    };
    let argv = pointers(argv);
    let envp = pointers(envp);
    // SAFETY: both arrays are NUL-terminated lists of valid C strings that live
    // across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Installs a seccomp filter on the calling thread. Needs `no_new_privs`.
pub(crate) fn install_seccomp_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len())
            .map_err(|_| io::Error::other("seccomp filter too long"))?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads `program` and copies it before it returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result)
}

/// Gives the calling process a new, empty session keyring, so that it does not
/// share the one of whoever started Lambent.
pub(crate) fn join_new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for an anonymous keyring; nothing is read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    check(result)
}

/// The number of a free loop device, created if need be.
pub(crate) fn loop_get_free(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
    // SAFETY: the request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Attaches `backing` to a loop device: it detaches by itself when the last
/// user is gone, and reads and writes bypass the backing file's page cache.
pub(crate) fn loop_configure(
    device: BorrowedFd<'_>,
    backing: BorrowedFd<'_>,
    direct_io: bool,
) -> io::Result<()> {
    // Layouts and numbers from linux/loop.h, which the libc crate lacks.
    const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    const LO_FLAGS_DIRECT_IO: u32 = 16;
    #[repr(C)]
    struct LoopInfo64 {
        device: u64,
        inode: u64,
        rdevice: u64,
        offset: u64,
        sizelimit: u64,
        number: u32,
        encrypt_type: u32,
        encrypt_key_size: u32,
        flags: u32,
        file_name: [u8; 64],
        crypt_name: [u8; 64],
        encrypt_key: [u8; 32],
        init: [u64; 2],
    }
    #[repr(C)]
    struct LoopConfig {
        fd: u32,
        block_size: u32,
        info: LoopInfo64,
        reserved: [u64; 8],
    }
    let mut file_name = [0; 64];
    let name = b"lambent ephemeral storage";
    file_name[..name.len()].copy_from_slice(name);
    let config = LoopConfig {
        fd: u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 4096,
        info: LoopInfo64 {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            sizelimit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR | if direct_io { LO_FLAGS_DIRECT_IO } else { 0 },
            file_name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `LoopConfig`, which lives across the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    check(result.into())
}

/// Raises the loopback interface of the current network namespace.
pub(crate) fn raise_loopback(socket: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct InterfaceRequest {
        name: [u8; 16],
        flags: u16,
        padding: [u8; 22],
    }
    let mut request = InterfaceRequest {
        name: [0; 16],
        // IFF_UP and IFF_RUNNING, linux/if.h.
        flags: 0x1 | 0x40,
        padding: [0; 22],
    };
    request.name[..2].copy_from_slice(b"lo");
    // SAFETY: `InterfaceRequest` has the size and layout of `struct ifreq` for
    // this request; the kernel reads it only.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    check(result.into())
}

/// Closes every descriptor from 3 on but these.
///
/// For a process that was forked off, needs nothing else of its parent's, and ends
/// without dropping what it has of it.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let number = |kept: &BorrowedFd<'_>| kept.as_raw_fd().unsigned_abs();
    let mut kept: Vec<u32> = kept.iter().map(number).collect();
    kept.sort_unstable();
    let mut first = 3;
    for next in kept.into_iter().chain([u32::MAX]) {
        if first < next {
            // SAFETY: no memory is involved. Owners of these descriptors are the
            // parent's values, which this process neither uses nor drops.
            let result = unsafe { libc::close_range(first, next - 1, 0) };
            check(result.into())?;
        }
        first = first.max(next.saturating_add(1));
    }
    Ok(())
}

/// The network namespace in which a socket was made.
pub(crate) fn network_namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `SIOCGSKNS`, linux/sockios.h.
    const GET_NAMESPACE: libc::c_ulong = 0x894c;
    // SAFETY: this request takes no argument, and makes a new descriptor.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), GET_NAMESPACE as _) };
    check(result.into())?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// `struct sched_attr` of linux/sched/types.h, as it was first.
#[repr(C)]
#[derive(Debug, Default)]
struct SchedulerAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedulerAttributes {
    const SIZE: u32 = 48;

    /// Those of the calling thread; none where there is nothing to change, because the
    /// kernel has one slice for all (before 6.12) or the thread another policy than the
    /// usual one.
    fn of_this_thread() -> io::Result<Option<Self>> {
        let mut attributes = Self::default();
        // SAFETY: the kernel writes at most `SIZE` bytes, which the structure has.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sched_getattr,
                0,
                &raw mut attributes,
                Self::SIZE,
                0,
            )
        };
        check(result)?;
        let usual = attributes.policy == libc::SCHED_OTHER.cast_unsigned();
        Ok((usual && attributes.runtime > 0).then_some(attributes))
    }

    /// Changes those of the calling thread, if there is anything to change.
    fn change(change: impl FnOnce(&mut Self)) -> io::Result<()> {
        let Some(mut attributes) = Self::of_this_thread()? else {
            return Ok(());
        };
        attributes.size = Self::SIZE;
        change(&mut attributes);
        // SAFETY: the kernel reads `size` bytes.
        check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
    }
}

/// Gives the calling thread a time slice of so many nanoseconds, at least 100,000, and
/// none of the threads and processes that it starts. It has no more of the CPU for it,
/// but has it sooner when it wakes up.
pub(crate) fn shorten_slice(nanoseconds: u64) -> io::Result<()> {
    const RESET_ON_FORK: u64 = 1;
    SchedulerAttributes::change(|attributes| {
        attributes.flags = RESET_ON_FORK;
        attributes.runtime = nanoseconds;
    })
}

/// Gives the calling thread, and those that it starts, a time slice that is so many
/// nanoseconds longer.
pub(crate) fn lengthen_slice(by_ns: u64) -> io::Result<()> {
    SchedulerAttributes::change(|attributes| attributes.runtime += by_ns)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `None` where kernels (before 6.12) tell of none.
    fn slice() -> Option<u64> {
        let attributes = SchedulerAttributes::of_this_thread().unwrap();
        attributes.map(|attributes| attributes.runtime)
    }

    /// The slices of a thread that has changed its own, and of one that it starts then.
    fn slices_after(change: fn() -> io::Result<()>) -> (Option<u64>, Option<u64>) {
        let changed = std::thread::spawn(move || {
            change().unwrap();
            (slice(), std::thread::spawn(slice).join().unwrap())
        });
        changed.join().unwrap()
    }

    #[test]
    fn a_short_slice_is_one_threads_own() {
        let usual = slice();
        let short = usual.map(|_| 100_000);
        assert_eq!(slices_after(|| shorten_slice(100_000)), (short, usual));
    }

    #[test]
    fn a_longer_slice_is_that_of_what_a_thread_starts_too() {
        let longer = slice().map(|usual| usual + 1_000);
        assert_eq!(slices_after(|| lengthen_slice(1_000)), (longer, longer));
    }
}
