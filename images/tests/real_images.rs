//! Images made by buildah of a distribution's files: what Lambent makes of their
//! layers is what umoci and podman make of them.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::{ContentStore, Form, Image, NoProgress};
use support::mounts::in_private_mounts;
use support::tree::{
    Objects, assert_same, mounted, objects, without_link_counts, without_skeleton,
};
use support::{Scratch, import_path_into};

/// Builds the image step by step, each step in the mounted tree of a container,
/// as the shell of a `Dockerfile` would change it.
const BUILD: &str = r#"
b() { buildah --root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver overlay "$@"; }

container=$(b from scratch)
cd "$(b mount "$container")"
# The distribution's own files: setuid and setgid programs, links of both kinds.
dpkg -L base-files base-passwd coreutils passwd perl-base |
    sed -nE 's,^/(bin/.*),usr/\1,p;s,^/((etc|usr|var)(/.*)?)$,\1,p' | sort -u |
    while IFS= read -r path; do if [ -e "/$path" ]; then echo "$path"; fi; done |
    tar --create --no-recursion --directory=/ --files-from=- |
    tar --extract --preserve-permissions
ln -s usr/bin bin
mkdir -m 1777 tmp
mkdir -p srv/opaque/deep srv/removed/deep srv/dir-to-file srv/dir-to-link srv/dir-to-dir \
    srv/closed srv/metadata srv/empty
for name in opaque/a opaque/deep/b removed/c removed/deep/d dir-to-file/e dir-to-link/f \
    dir-to-dir/g closed/h metadata/i one two three file-to-dir file-to-link kept; do
    echo "$name" >"srv/$name"
done
ln -s kept srv/link-to-file
ln -s removed srv/link-to-dir
ln srv/one srv/one-more
ln srv/two srv/opaque/two
chmod 0000 srv/closed/h srv/closed
b commit --quiet --rm "$container" layer:1

container=$(b from --pull-never layer:1)
cd "$(b mount "$container")"
rm usr/bin/md5sum usr/bin/sha1sum
rm -r srv/removed srv/opaque srv/dir-to-file srv/dir-to-link srv/dir-to-dir srv/file-to-dir
rm srv/file-to-link srv/link-to-file srv/link-to-dir
mkdir srv/opaque srv/dir-to-dir srv/file-to-dir srv/link-to-dir
echo new >srv/opaque/new
echo new >srv/dir-to-dir/new
echo new >srv/dir-to-file
echo new >srv/link-to-file
echo new >srv/link-to-dir/new
ln -s kept srv/dir-to-link
ln -s kept srv/file-to-link
# Names and content of every kind.
ln usr/bin/cat usr/bin/chat
cp usr/bin/factor srv/capable
setcap cap_net_raw,cap_net_bind_service+ep srv/capable
setcap cap_chown+p usr/bin/factor
python3 -c 'import os
os.setxattr("srv/kept", "user.note", b"hello")
os.setxattr("srv/metadata", "user.empty", b"")'
mknod -m 0666 srv/null c 1 3
mknod -m 0640 srv/disk b 259 300
mkfifo -m 0622 srv/pipe
truncate --size 1M srv/holes
echo x >>srv/holes
printf x >"srv/$(printf 'new\nline')"
printf x >"srv/$(printf 'latin-\351')"
printf x >"srv/$(printf 'n%.0s' $(seq 255))"
ln -s "$(printf 't%.0s' $(seq 3000))" srv/long-link
mkdir -p "srv/$(printf 'deep/%.0s' $(seq 60))"
# Owners, modes, times.
chown 1000:1001 srv/kept srv/metadata srv/null srv/pipe
chown -h 2000000000:65534 srv/dir-to-link
chown 33:33 usr/bin/who
chmod 4711 usr/bin/who
chmod 2775 srv/metadata
chmod 0111 srv/file-to-dir
chmod u-s usr/bin/passwd
touch -d '1999-12-31 23:59:59.123456789Z' srv/kept
touch -d '1931-01-01 00:00:00Z' srv/capable
touch -d '2100-06-01 00:00:00.5Z' srv/null
touch -h -d '2001-09-09 01:46:40Z' srv/dir-to-link
touch -d '2010-10-10 10:10:10Z' srv/opaque srv/empty
b commit --quiet --rm "$container" layer:2

container=$(b from --pull-never layer:2)
cd "$(b mount "$container")"
rm srv/opaque/new srv/two srv/null
rm -r srv/link-to-dir srv/deep
echo again >srv/opaque/a
echo again >usr/bin/md5sum
mkdir srv/removed srv/null
echo again >srv/removed/c
echo more >>srv/one-more
chmod 0700 srv/empty
chown 5:6 srv/dir-to-dir/new
mv srv/three srv/metadata/moved
rm srv/dir-to-file
mkdir -p srv/dir-to-file/again
b commit --quiet --rm "$container" layer:3
b push --quiet layer:3 "oci:$LAYOUT:latest"
"#;

/// Podman's own tree of the image.
const MOUNT: &str = r#"
p() { podman --root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver overlay "$@"; }
cd "$(dirname "$LAYOUT")" # podman makes a name out of the path
p pull --quiet oci:layout:latest >"$STORAGE/id"
p image mount "$(cat "$STORAGE/id")"
"#;

const UNMOUNT: &str = r#"
p() { podman --root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver overlay "$@"; }
p image unmount --all
p rmi --all --force
"#;

fn shell(scratch: &Scratch, storage: &str, script: &str) -> String {
    let storage = scratch.path(storage);
    std::fs::create_dir_all(&storage).unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env("STORAGE", &storage)
        .env("LAYOUT", scratch.path("layout"))
        .env("BUILDAH_ISOLATION", "chroot")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn umoci(scratch: &Scratch) -> Objects {
    let bundle = scratch.path("umoci");
    let output = Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:latest", scratch.path("layout").display()))
        .arg(&bundle)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    objects(&bundle.join("rootfs"))
}

fn podman(scratch: &Scratch) -> Objects {
    let place = shell(scratch, "podman", MOUNT);
    let found = objects(&PathBuf::from(place.trim_end()));
    shell(scratch, "podman", UNMOUNT);
    without_link_counts(found)
}

/// Podman's root is its own where no layer has one, and it knows no time before 1970.
fn as_podman(mut ours: Objects) -> Objects {
    ours.remove(Path::new(""));
    for object in ours.values_mut().filter(|object| object.mtime.0 < 0) {
        object.mtime = (0, 0);
    }
    without_link_counts(ours)
}

fn bundle(scratch: &Scratch, image: &Image) -> Objects {
    let target = scratch.path("bundle");
    let warnings = scratch.store.unpack(image, &target, &NoProgress).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    objects(&target.join("rootfs"))
}

#[test]
fn a_distribution_in_three_layers() {
    if !in_private_mounts("a_distribution_in_three_layers") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    shell(&scratch, "buildah", BUILD);
    let image = scratch.import(&scratch.path("layout")).unwrap();
    assert_eq!(image.layers.len(), 3);
    let ours = bundle(&scratch, &image);
    // What the script is for is in the image.
    let at = |path: &str| &ours[Path::new(path)];
    assert!(ours.len() > 500, "{} objects", ours.len());
    assert!(at("srv/capable").xattrs.contains_key("security.capability"));
    assert!(at("srv/kept").xattrs.contains_key("user.note"));
    assert_eq!(at("srv/disk").what, "block device 259:300");
    assert_eq!(
        at("usr/bin/chat").first_name.as_deref(),
        Some(Path::new("usr/bin/cat"))
    );
    assert!(!ours.contains_key(Path::new("usr/bin/sha1sum")));

    assert_same("umoci", &ours, &umoci(&scratch));
    let mut theirs = podman(&scratch);
    theirs.remove(Path::new(""));
    assert_same("podman", &as_podman(ours.clone()), &theirs);

    let ours = without_skeleton(ours);
    let directories = ContentStore::open(&scratch.path("directories"))
        .unwrap()
        .with_form(Form::Directory);
    for store in [&scratch.store, &directories] {
        let image = import_path_into(store, &scratch.path("layout")).unwrap();
        let form = store.form().to_string();
        let shown = without_skeleton(mounted(store, &image, &scratch.path("mnt")));
        assert_same(&form, &shown, &ours);
    }
}
