//! A real terminal, with a program in it and somebody at its keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

use crate::wait;

/// A pseudoterminal, and the program that it is the terminal of.
#[derive(Debug)]
pub struct Terminal {
    keys: File,
    own: OwnedFd,
    child: Child,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts a program in a terminal of so many rows and columns.
    ///
    /// # Panics
    /// If there is none, or the program cannot be started.
    pub fn start(program: &Command, size: (u16, u16)) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keys = rustix::pty::openpt(flags).expect("a pseudoterminal");
        rustix::pty::unlockpt(&keys).expect("a pseudoterminal");
        let own = rustix::pty::ioctl_tiocgptpeer(&keys, flags).expect("its other end");
        let end = || own.try_clone().expect("a descriptor");
        // Which makes it the terminal of the program's session.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(end())
            .stdout(end())
            .stderr(end());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        resize(&own, size);
        let child = command.spawn().expect("setsid (util-linux) runs");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        let keys = File::from(keys);
        let mut output = keys.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.push_str(&text);
            }
        });
        Self {
            keys,
            own,
            child,
            screen,
        }
    }

    /// Presses these keys.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Everything that was shown so far.
    pub fn screen(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.clone()
    }

    /// Waits until this is shown.
    ///
    /// # Panics
    /// If it takes too long.
    pub fn shows(&self, text: &str) {
        let deadline = Instant::now() + wait::patiently(Duration::from_secs(30));
        while !self.screen().contains(text) {
            let late = Instant::now() > deadline;
            assert!(!late, "{text:?} is not shown: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes it so large.
    pub fn resize(&self, size: (u16, u16)) {
        resize(&self.own, size);
    }

    /// Whether it shows what is typed and gathers it into lines, as terminals do for
    /// shells.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn is_cooked(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.own).expect("a terminal");
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        modes.local_modes.contains(cooked)
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn ends(&mut self) -> ExitStatus {
        self.child.wait().expect("the program ends")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &OwnedFd, (rows, columns): (u16, u16)) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size).expect("a terminal");
}
