//! Process 1 of a container.
//!
//! On Lambda a runtime is not process 1 either, and it matters: the kernel spares
//! process 1 the signals that it sends to itself (`abort` would not abort), and
//! whatever a function leaves behind becomes a child of process 1, which has to
//! reap it or the environment fills up with zombies.
//!
//! Init is the process that libcontainer made, so it runs this program's sealed
//! copy, as Lambda's user, behind the filter, not dumpable, with no descriptor
//! but the one it reports on.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, WaitOptions};

use super::channel;
use crate::model::ExitStatus;
use crate::sys;

/// Reaps until the runtime ends, says how it ended, and ends the container.
pub(super) fn run(runtime: Pid, exit_report: &OwnedFd) -> ! {
    // Worker and service wait for the ends of what else is open here.
    sys::close_all_except(exit_report.as_fd());
    // Only for those who look at `ps`.
    let _ = rustix::thread::set_name(c"init");
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == runtime => {
                // A launcher that is gone has no use for it.
                let _ = channel::send(exit_report, &ExitStatus::from_wait(status), &[]);
                sys::exit_now(0);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No children: the runtime cannot come back.
            Err(_) => sys::exit_now(1),
        }
    }
}
