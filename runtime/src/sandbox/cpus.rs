//! The CPUs that a function sees.
//!
//! Lambda shows a number of CPUs that depends on the memory size, whatever share
//! of them is paid for. A function sees them in three ways, which have to agree:
//! the scheduler (`sched_getaffinity`, `nproc`), `/proc/cpuinfo` and `/proc/stat`,
//! and the lists in `/sys/devices/system/cpu`. Where the host has no more CPUs
//! than that, all three are the host's own.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use rustix::thread::CpuSet;

use super::cgroup::Hierarchies;
use super::protocol::EnvironmentId;

/// Where `/sys` describes CPUs.
const SYSTEM: &str = "/sys/devices/system/cpu";

/// The files there that list them.
const SYSTEM_LISTS: [&str; 3] = ["online", "possible", "present"];

/// The CPUs of this host that Lambent may use. They are looked up once: reading
/// `/proc/cpuinfo` takes milliseconds on a large machine.
#[derive(Debug, Default)]
pub(super) struct HostCpus {
    allowed: Vec<usize>,
    throttling: Vec<String>,
    cpuinfo: String,
    /// The cpuset controller keeps a function from leaving its CPUs.
    controller: bool,
}

impl HostCpus {
    pub(super) fn discover(hierarchies: &Hierarchies) -> io::Result<Self> {
        let set = rustix::thread::sched_getaffinity(None)?;
        Ok(Self {
            allowed: (0..CpuSet::MAX_CPU)
                .filter(|cpu| set.is_set(*cpu))
                .collect(),
            throttling: throttling(names(Path::new(SYSTEM))?),
            cpuinfo: fs::read_to_string("/proc/cpuinfo")?,
            controller: hierarchies.has("cpuset"),
        })
    }

    /// Where the kernel counts how often each CPU was too hot, which tells what others
    /// do on this host. A CPU that is not online has no such directory yet.
    pub(super) fn throttling(&self) -> &[String] {
        &self.throttling
    }

    /// What an environment with `count` CPUs sees; `None` if that is all of them.
    pub(super) fn view(&self, count: u8, environment: EnvironmentId) -> Option<CpuView> {
        let cpus = choose(&self.allowed, count.into(), environment)?;
        Some(CpuView {
            cpuinfo: cpuinfo(&self.cpuinfo, &cpus),
            stat: stat(&fs::read_to_string("/proc/stat").unwrap_or_default(), &cpus),
            controller: self.controller,
            cpus,
        })
    }
}

/// The names in a directory; none if it is not there.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        entries => entries?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect(),
    }
}

/// The directories of [`HostCpus::throttling`], by the names in `/sys`: every CPU's has a
/// number, beside things like `cpufreq`.
fn throttling(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| {
        let number = name.strip_prefix("cpu").unwrap_or_default();
        number.parse::<usize>().is_ok()
    });
    names.sort_unstable();
    names
        .iter()
        .map(|cpu| format!("{SYSTEM}/{cpu}/thermal_throttle"))
        .collect()
}

/// Takes `count` of the CPUs, other ones for each environment, so that together
/// they use the whole machine.
fn choose(allowed: &[usize], count: usize, environment: EnvironmentId) -> Option<Vec<usize>> {
    if allowed.len() <= count {
        return None;
    }
    let number = usize::try_from(environment.0 % allowed.len() as u64).unwrap_or(0);
    let start = number * count % allowed.len();
    let mut cpus: Vec<usize> = allowed
        .iter()
        .cycle()
        .skip(start)
        .take(count)
        .copied()
        .collect();
    cpus.sort_unstable();
    Some(cpus)
}

/// The CPUs of one environment, and the files that say so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CpuView {
    cpus: Vec<usize>,
    cpuinfo: String,
    stat: String,
    controller: bool,
}

impl CpuView {
    /// For the scheduler.
    pub(super) fn affinity(&self) -> CpuSet {
        let mut set = CpuSet::new();
        for cpu in &self.cpus {
            set.set(*cpu);
        }
        set
    }

    /// For the cpuset controller, where there is one.
    pub(super) fn cpuset(&self) -> Option<String> {
        self.controller.then(|| {
            let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
            cpus.join(",")
        })
    }

    /// Writes the files into `directory`. Returns each one's name there and the
    /// path of the file that it covers.
    pub(super) fn write(&self, directory: &Path) -> io::Result<Vec<(String, String)>> {
        let list = match self.cpus.len() {
            0 | 1 => "0\n".to_owned(),
            count => format!("0-{}\n", count - 1),
        };
        let system = SYSTEM_LISTS
            .iter()
            .map(|name| (*name, format!("{SYSTEM}/{name}"), &list));
        [
            ("cpuinfo", "/proc/cpuinfo".to_owned(), &self.cpuinfo),
            ("stat", "/proc/stat".to_owned(), &self.stat),
        ]
        .into_iter()
        .chain(system)
        .map(|(name, covered, text)| {
            fs::write(directory.join(name), text)?;
            Ok((name.to_owned(), covered))
        })
        .collect()
    }
}

/// `/proc/cpuinfo` of some of the CPUs, numbered from 0.
fn cpuinfo(host: &str, cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut number = 0_usize;
    for block in host.split_inclusive("\n\n") {
        let Some((first, rest)) = block.split_once('\n') else {
            continue;
        };
        match processor(first) {
            Some(cpu) if !cpus.contains(&cpu) => {}
            Some(_) => {
                // Writing to a string cannot fail.
                let _ = write!(text, "processor\t: {number}\n{rest}");
                number += 1;
            }
            // Some architectures end with a block about the machine.
            None => text.push_str(block),
        }
    }
    text
}

/// The number in a line `processor : 3`.
fn processor(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == "processor").then(|| value.trim().parse().ok())?
}

/// `/proc/stat` with some of the CPUs, numbered from 0.
fn stat(host: &str, cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut number = 0_usize;
    for line in host.split_inclusive('\n') {
        let cpu = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.split_once(' '))
            .and_then(|(cpu, times)| Some((cpu.parse::<usize>().ok()?, times)));
        match cpu {
            Some((cpu, _)) if !cpus.contains(&cpu) => {}
            Some((_, times)) => {
                let _ = write!(text, "cpu{number} {times}");
                number += 1;
            }
            None => text.push_str(line),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_spread_over_the_host() {
        let allowed = [0, 1, 2, 3, 6, 7];
        for (environment, expected) in [(0, [0, 1]), (1, [2, 3]), (2, [6, 7]), (3, [0, 1])] {
            let cpus = choose(&allowed, 2, EnvironmentId(environment));
            assert_eq!(cpus, Some(expected.to_vec()), "{environment}");
        }
        let around = choose(&allowed, 4, EnvironmentId(1));
        assert_eq!(around, Some(vec![0, 1, 6, 7]));
        assert_eq!(choose(&[0, 1], 2, EnvironmentId(5)), None);
        assert_eq!(choose(&[4], 2, EnvironmentId(5)), None);
    }

    #[test]
    fn the_files_show_the_chosen_ones_from_0() {
        let host = "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: B\n\n\
                    processor\t: 2\nmodel name\t: C\n\nHardware\t: board\n";
        assert_eq!(
            cpuinfo(host, &[0, 2]),
            "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: C\n\n\
             Hardware\t: board\n"
        );
        let host = "cpu  6 6\ncpu0 1 1\ncpu1 2 2\ncpu2 3 3\nintr 9\n";
        assert_eq!(
            stat(host, &[1, 2]),
            "cpu  6 6\ncpu0 2 2\ncpu1 3 3\nintr 9\n"
        );
    }

    #[test]
    fn every_cpu_has_counters_of_its_own() {
        let names = ["cpu10", "cpufreq", "cpu0", "online", "cpuidle", "cpu"];
        assert_eq!(
            throttling(names.map(str::to_owned).to_vec()),
            [
                "/sys/devices/system/cpu/cpu0/thermal_throttle",
                "/sys/devices/system/cpu/cpu10/thermal_throttle"
            ]
        );
        assert!(!throttling(super::names(Path::new(SYSTEM)).unwrap()).is_empty());
        assert!(super::names(Path::new("/missing")).unwrap().is_empty());
    }

    #[test]
    fn this_hosts_own_cpuinfo_is_understood() {
        let host = fs::read_to_string("/proc/cpuinfo").unwrap();
        let one = cpuinfo(&host, &[0]);
        assert_eq!(one.matches("processor\t: ").count(), 1, "{host}");
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).collect();
        assert_eq!(cpuinfo(&host, &all), host);
    }
}
