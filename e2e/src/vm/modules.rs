//! Which kernel modules have to be loaded, and in which order.

use std::collections::{BTreeMap, BTreeSet};

/// Resolves `wanted` modules against the text of `modules.dep`
/// (`PATH.ko: PATH.ko PATH.ko`) and of `modules.builtin` (a path a line). The
/// result has the paths of the modules and of what they need, each once and after
/// what it needs; what is built into the kernel needs no loading.
///
/// # Errors
/// A module that is neither there nor built in, by name.
pub(super) fn load_order(
    wanted: &[&str],
    dependencies: &str,
    builtin: &str,
) -> Result<Vec<String>, String> {
    let known: BTreeMap<String, (&str, Vec<&str>)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (name(path), (path, needs.split_whitespace().collect())))
        .collect();
    let builtin: BTreeSet<String> = builtin.lines().map(name).collect();
    let mut order = vec![];
    for module in wanted {
        append(module, &known, &builtin, &mut order)?;
    }
    Ok(order)
}

/// Appends a module behind what it needs, unless it is there already. Modules do
/// not need each other in circles: `depmod` refuses such.
fn append(
    module: &str,
    known: &BTreeMap<String, (&str, Vec<&str>)>,
    builtin: &BTreeSet<String>,
    order: &mut Vec<String>,
) -> Result<(), String> {
    let Some((path, needs)) = known.get(module) else {
        return if builtin.contains(module) {
            Ok(())
        } else {
            Err(module.to_owned())
        };
    };
    if order.iter().any(|there| there == path) {
        return Ok(());
    }
    for need in needs {
        append(&name(need), known, builtin, order)?;
    }
    order.push((*path).to_owned());
    Ok(())
}

/// The name of the module in a file; in names, `-` is the same as `_`.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "\
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio-pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
";
    const BUILTIN: &str = "kernel/fs/ext4/ext4.ko\n";

    #[test]
    fn needs_come_first_and_nothing_twice() {
        let order = load_order(
            &["virtio_blk", "ext4", "virtio_pci", "virtio_blk"],
            DEPENDENCIES,
            BUILTIN,
        )
        .unwrap();
        assert_eq!(
            order,
            [
                "kernel/drivers/virtio/virtio_ring.ko",
                "kernel/drivers/virtio/virtio.ko",
                "kernel/drivers/block/virtio_blk.ko",
                "kernel/drivers/virtio/virtio-pci.ko",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            load_order(&["overlay"], DEPENDENCIES, BUILTIN),
            Err("overlay".to_owned())
        );
        // Needed by something that is there.
        let torn = DEPENDENCIES.replace("kernel/lib/libcrc32c.ko:\n", "");
        assert_eq!(
            load_order(&["erofs"], &torn, BUILTIN),
            Err("libcrc32c".to_owned())
        );
    }
}
