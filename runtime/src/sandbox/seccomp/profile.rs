//! The system calls that a function may make.

use super::{Action, Check, Group, Profile};

/// Namespaces that `clone` could create (`clone3` is refused as a whole: its
/// flags lie in memory, where a filter cannot see them; C libraries fall back).
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP)
    .cast_unsigned();

/// The families of sockets that Lambda functions use, and the protocols of each.
/// Everything else, AF_ALG, AF_VSOCK and `NETLINK_AUDIT` first of all, is kernel surface
/// without a purpose here; and for each that the kernel does not know yet it would load
/// a module.
const SOCKETS: &[Group] = &[
    (&[libc::AF_UNIX.cast_unsigned()], &[]),
    (
        &[
            libc::AF_INET.cast_unsigned(),
            libc::AF_INET6.cast_unsigned(),
        ],
        &[
            libc::IPPROTO_IP.cast_unsigned(),
            libc::IPPROTO_TCP.cast_unsigned(),
            libc::IPPROTO_UDP.cast_unsigned(),
            // Go listens with it, and takes TCP where it is refused.
            libc::IPPROTO_MPTCP.cast_unsigned(),
            // For those that ask whether they may.
            libc::IPPROTO_ICMP.cast_unsigned(),
            libc::IPPROTO_ICMPV6.cast_unsigned(),
            libc::IPPROTO_RAW.cast_unsigned(),
        ],
    ),
    (
        &[libc::AF_NETLINK.cast_unsigned()],
        &[
            // getifaddrs and resolvers ask the (own) network namespace through it.
            libc::NETLINK_ROUTE.cast_unsigned(),
            // Of udev's library, where nothing ever comes.
            libc::NETLINK_KOBJECT_UEVENT.cast_unsigned(),
        ],
    ),
];

/// The families that have pairs.
const PAIRS: &[u32] = &[libc::AF_UNIX.cast_unsigned()];

/// Asks for pages of the pool that somebody has set aside on this host: no cgroup's
/// memory counts them. Lambda has none.
const HUGE_PAGES: &[(libc::c_long, u8, u32)] = &[
    (libc::SYS_mmap, 3, libc::MAP_HUGETLB.cast_unsigned()),
    (libc::SYS_memfd_create, 1, libc::MFD_HUGETLB),
    (libc::SYS_shmget, 2, libc::SHM_HUGETLB.cast_unsigned()),
];

/// Personalities that Docker allows: the default, UNAME26, LINUX32, and the query.
const PERSONALITIES: &[u32] = &[0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64, linux/audit.h
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64, linux/audit.h

/// The profile of a Lambda function on this architecture.
pub(crate) fn lambda_profile() -> Profile {
    let eperm = libc::EPERM;
    let number = |call: libc::c_long| u32::try_from(call).expect("call numbers are small");
    let mut rules: Vec<(u32, Action)> = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .map(|call| (number(*call), Action::Allow))
        .collect();
    rules.extend([
        (
            number(libc::SYS_clone),
            Action::Check(Check::NoBits {
                argument: 0,
                mask: NAMESPACE_FLAGS,
                errno: eperm,
            }),
        ),
        (number(libc::SYS_clone3), Action::Errno(libc::ENOSYS)),
        // Of `fs.aio-max-nr` this host has one, which a single call can use up for all.
        (number(libc::SYS_io_setup), Action::Errno(libc::ENOSYS)),
        (
            number(libc::SYS_personality),
            Action::Check(Check::OneOf {
                argument: 0,
                values: PERSONALITIES,
                errno: eperm,
            }),
        ),
    ]);
    rules.extend([
        (
            number(libc::SYS_socket),
            Action::Check(Check::Pairs {
                arguments: (0, 2),
                groups: SOCKETS,
                errnos: (libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT),
            }),
        ),
        (
            number(libc::SYS_socketpair),
            // Here too the kernel would load a family's module.
            Action::Check(Check::OneOf {
                argument: 0,
                values: PAIRS,
                errno: libc::EAFNOSUPPORT,
            }),
        ),
    ]);
    rules.extend(HUGE_PAGES.iter().map(|(call, argument, mask)| {
        let check = Check::NoBits {
            argument: *argument,
            mask: *mask,
            errno: libc::ENOMEM,
        };
        (number(*call), Action::Check(check))
    }));
    Profile {
        architecture: ARCHITECTURE,
        rules,
        unlisted: Action::Errno(eperm),
        unknown: Action::Errno(libc::ENOSYS),
    }
}

/// Calls that exist on every architecture.
const ALLOWED: &[libc::c_long] = &[
    // Files and directories.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_umask,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_ioctl,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    // Sockets; their family is checked when they are made.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_shutdown,
    // Memory; `mmap` is checked.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_membarrier,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_rseq,
    libc::SYS_get_mempolicy,
    // Processes and threads; `clone` is checked.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_prctl,
    libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_setparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_getattr,
    libc::SYS_sched_setattr,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_prlimit64,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_getcpu,
    // The pid namespace holds the function's own processes only.
    libc::SYS_ptrace,
    libc::SYS_restart_syscall,
    // Signals.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    // Time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    // System V and POSIX IPC, in the own IPC namespace; `shmget` is checked.
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    // The rest.
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
];

/// Older calls that only this architecture has, and its own.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_getdents,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_unlink,
    libc::SYS_symlink,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_ctl_old,
    libc::SYS_epoll_wait_old,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_inotify_init,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_getpgrp,
    libc::SYS_time,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_arch_prctl,
];
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[libc::c_long] = &[];
