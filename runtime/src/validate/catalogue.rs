//! All rules. Codes are never reused or renamed.

use super::Rule;
use super::Severity::{Error, Note, Warning};

macro_rules! rules {
    ($($name:ident = $code:literal, $severity:ident, $title:literal, $lambda:expr, $why:literal, $mend:literal;)*) => {
        $(pub(super) static $name: Rule = Rule {
            code: $code,
            severity: $severity,
            title: $title,
            lambda: $lambda,
            why: $why,
            mend: $mend,
        };)*

        /// Every rule, in the order of what they are about.
        pub(crate) static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    // What is pushed.
    UNUSABLE_IMAGE = "unusable-image", Error, "the image cannot be read",
        Some("The image manifest, config or layer media type for the source image <image> is not supported."),
        "A document of the image or the archive of a layer breaks a rule of its format, or a layer \
         is of a kind that Lambda does not document. (What is damaged or cut off on the way is no \
         finding: nobody has read the image then, and the status is 3.)",
        "Build the image again with a current tool; the message says what is wrong with it.";
    IMAGE_INDEX = "image-index", Error, "an image index instead of one image",
        Some("The image manifest, config or layer media type for the source image <image> is not supported."),
        "Lambda takes the manifest of one image. `docker buildx build` pushes an index since it adds \
         attestations (provenance, SBOM), even for one platform; Docker and Podman run such an index \
         without a word.",
        "Build with `docker buildx build --provenance=false --sbom=false --platform linux/amd64` (or \
         linux/arm64), or copy one image out with `skopeo copy`.";
    UNSUPPORTED_LAYER = "unsupported-layer", Error, "a layer in a form that Lambda does not take",
        Some("InvalidImage: ImageLayerFailure: UnsupportedImageLayerDetected - Layer Digest <digest>"),
        "Lambda documents Docker's schema 2 and OCI 1.0: layers are gzip, or plain in OCI's media \
         type. zstd came with OCI 1.1, and Docker's schema has no media type for a plain layer. A \
         round trip through Docker hides it, because Docker compresses again.",
        "Push with gzip layers: `docker buildx build --output \
         type=image,push=true,compression=gzip,force-compression=true`, or `skopeo copy \
         --dest-compress-format gzip`.";
    MISSING_PARENT_DIRECTORY = "missing-parent-directory", Error, "a file without its directory in the layers",
        Some("InvalidImage: MissingParentDirectory: Parent directory does not exist for file: <file>"),
        "Lambda unpacks layers strictly: each directory needs an entry of its own before what is in \
         it, in the same layer or in one below. Other unpackers make it on the way. Bazel's rules, \
         nix2container and some COPY instructions of Kaniko have written such layers.",
        "Give the directories entries in the layer (in Bazel's mtree: `type=dir`), or create them in \
         an instruction before: `RUN mkdir -p DIR`.";
    IMAGE_SIZE = "image-size", Error, "more than 10 GB uncompressed",
        None,
        "The limit is for all layers together, uncompressed: a file that a later layer removes or \
         replaces counts nevertheless.",
        "Remove files in the instruction that made them, build in stages, and leave models and data \
         to /tmp, S3 or EFS.";
    MANIFEST_SIZE = "manifest-size", Warning, "a manifest of more than 25,400 bytes",
        None,
        "Lambda recommends less; very many layers or long annotations make it so.",
        "Squash layers, or leave annotations out.";
    LAYERS_OF_IMAGE = "layers-of-image", Error, "layers on a function of an image",
        Some("Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image"),
        "Layers are for functions of zip archives. `lambent invoke --layer` mounts them nevertheless, \
         to try things; what is in them is not looked at here, since Lambda never mounts it.",
        "Put the files below /opt of the image (`COPY layer/ /opt/`), where extensions, permissions \
         and the size are looked at, and leave out --layer.";
    IMAGE_SETTINGS_SIZE = "image-settings-size", Error, "more than 16 KB of settings",
        None,
        "ENTRYPOINT, CMD, WORKDIR and ENV of an image are limited to 16 KB together.",
        "Move long values into a file of the image.";
    WRONG_ARCHITECTURE = "wrong-architecture", Error, "a program for another machine",
        Some("Runtime.InvalidEntrypoint: RequestId: <id> Error: fork/exec <program>: exec format error"),
        "The image says that it is for one architecture, and its program is for another: a build on \
         an Apple or Graviton machine, or a binary that was copied in.",
        "Build with --platform, and compile for the function's architecture.";
    DAMAGED_PROGRAM = "damaged-program", Error, "a program that the kernel does not execute",
        Some("Runtime.InvalidEntrypoint: RequestId: <id> Error: fork/exec <program>: exec format error"),
        "It begins as an ELF file, and is an object file or a library's remains, was cut off, or was \
         changed by a tool that left it damaged. Where only the name of its loader cannot be read, \
         the error is \"input/output error\".",
        "Build or download the program again, and execute it before it is copied into the image.";
    TRUNCATED_PROGRAM = "truncated-program", Error, "a program that was cut off",
        Some("RequestId: <id> Error: Runtime exited with error: signal: segmentation fault"),
        "Its ELF header names segments beyond the end of the file. The kernel begins to execute such \
         a program, which then dies by a signal (segmentation fault, bus error) and without a word.",
        "Build or download the program again, compare its size and checksum with those of its \
         publisher, and execute it before it is copied into the image.";

    // What is started.
    ENTRY_POINT_MISSING = "entry-point-missing", Error, "nothing to run",
        Some("Runtime.InvalidEntrypoint"),
        "The image has neither ENTRYPOINT nor CMD.",
        "Set ENTRYPOINT to the runtime interface client, and CMD to the handler.";
    ENTRY_POINT_NOT_FOUND = "entry-point-not-found", Error, "the entry point does not exist",
        Some("Runtime.InvalidEntrypoint: RequestId: <id> Error: fork/exec <program>: no such file or directory"),
        "No layer has the file, or a link on the way leads nowhere.",
        "Check the path of ENTRYPOINT against the files of the image.";
    ENTRY_POINT_NOT_EXECUTABLE = "entry-point-not-executable", Error, "Lambda's user may not execute the entry point",
        Some("Runtime.InvalidEntrypoint: RequestId: <id> Error: fork/exec <program>: permission denied"),
        "Functions run as uid 993, gid 990, whatever USER says. The file needs `x` for others, and so \
         does every directory above it.",
        "`RUN chmod 755 FILE` after it is copied, or `COPY --chmod=755`.";
    INTERPRETER_NOT_FOUND = "interpreter-not-found", Error, "the entry point's interpreter or loader does not exist",
        Some("Runtime.InvalidEntrypoint: RequestId: <id> Error: fork/exec <program>: no such file or directory"),
        "A script names its interpreter in its first line, and a dynamic program its loader. Lines \
         that end in CR LF name one that ends in CR; a program built with glibc has no loader in \
         Alpine, and the other way round.",
        "Install the interpreter, save the script with LF, or build for the image's C library \
         (or statically).";
    ENTRY_POINT_RELATIVE = "entry-point-relative", Note, "ENTRYPOINT is not an absolute path",
        None,
        "Lambda documents absolute paths. A bare name is looked up in PATH, which works today.",
        "Write the whole path.";
    ENTRY_POINT_SYMLINK = "entry-point-symlink", Note, "ENTRYPOINT is a symbolic link",
        None,
        "Lambda's documentation says that links are not supported there. Images of Python and \
         Node with such an ENTRYPOINT are known to run.",
        "Name the file that the link leads to.";
    WORKING_DIRECTORY = "working-directory", Error, "the working directory cannot be entered",
        Some("Runtime.InvalidWorkingDir"),
        "WORKDIR has to be an absolute path of a directory that uid 993 may go through.",
        "Create it in the image, with mode 755.";
    RUNTIME_CLIENT_MISSING = "runtime-client-missing", Warning, "no runtime interface client found",
        Some("RequestId: <id> Error: Runtime exited with error: exit status <n>, or a time-out"),
        "Something has to fetch events from Lambda's Runtime API: AWS's base images bring it, other \
         images install the client of their language. Without one the program runs and never takes \
         an event.",
        "Install it: awslambdaric (PyPI), aws-lambda-ric (npm), aws-lambda-java-runtime-interface-client \
         (Maven), aws_lambda_ric (RubyGems), lambda_runtime (crates.io), aws-lambda-go; or the Lambda \
         Web Adapter for a web application.";
    HANDLER_MISSING = "handler-missing", Error, "the runtime interface client gets no handler",
        Some("RequestId: <id> Error: Runtime exited with error: exit status <n>"),
        "The client is started without an argument that names the handler.",
        "Set CMD, for example `CMD [\"app.handler\"]`.";
    HANDLER_NOT_FOUND = "handler-not-found", Warning, "the handler's file was not found",
        Some("Runtime.ImportModuleError: Unable to import module '<module>'"),
        "The handler names a file that is neither in the working directory nor where the language \
         looks for modules.",
        "Copy the code to the working directory (WORKDIR, else /var/task), or correct CMD.";

    // What the function needs.
    UNREADABLE_FILE = "unreadable-file", Warning, "files that Lambda's user cannot read",
        Some("PermissionError: [Errno 13] Permission denied: '<file>'"),
        "Functions run as uid 993, gid 990. Files that were copied from a machine with umask 077, or \
         that belong to a USER of the image, are closed to it.",
        "`RUN chmod -R a+rX DIR` after the copy.";
    USER_IGNORED = "user-ignored", Note, "USER is ignored",
        None,
        "Lambda runs every function as its own unprivileged user, uid 993 and gid 990.",
        "Make the files that the function needs readable by all.";
    RESERVED_VARIABLE = "reserved-variable", Warning, "the image sets variables that Lambda sets",
        None,
        "Lambda's values of its reserved variables replace those of the image.",
        "Use other names.";
    EXTENSION_NOT_EXECUTABLE = "extension-not-executable", Error, "a file in /opt/extensions that cannot be executed",
        Some("Extension.LaunchError"),
        "Lambda starts every file directly in /opt/extensions, and the environment fails if one does \
         not start.",
        "Make it executable (mode 755), or move what is no extension out of the directory.";

    // What shows when it is started.
    LAYERS_NOT_READ = "layers-not-read", Note, "only the image's documents were looked at",
        None,
        "Lambda refuses the image for what its manifest and its configuration say. What is in its \
         layers is not known: they are in a registry, and were not downloaded for that.",
        "Mend what the errors say, or accept them with `--allow`; then the layers are read too.";
    INIT_FAILED = "init-failed", Error, "the function does not start",
        None,
        "The environment was started, and did not come to wait for an event.",
        "The function's log, on standard error, says more.";
    READ_ONLY_ROOT = "read-only-root", Warning, "something is written outside of /tmp",
        Some("OSError: [Errno 30] Read-only file system: '<file>'"),
        "Only /tmp is writable on Lambda. Caches of libraries are often in the home directory or \
         beside the code.",
        "Set the library's cache directory to one below /tmp (HOME=/tmp, XDG_CACHE_HOME, \
         MPLCONFIGDIR, HF_HOME, NUMBA_CACHE_DIR), or fill it when the image is built.";
    SHARED_MEMORY = "shared-memory", Warning, "something needs /dev/shm",
        Some("OSError: [Errno 38] Function not implemented (ENOSYS; glibc before 2.34), or \
              FileNotFoundError: [Errno 2] No such file or directory (ENOENT; glibc since 2.34)"),
        "Lambda has no /dev/shm, so POSIX semaphores and shared memory fail: Python's \
         multiprocessing.Pool and Queue among others. Docker has it, which hides this.",
        "Use threads, or multiprocessing.Process with Pipe; for joblib and numba choose threads.";
}

/// The rule of this code.
pub(crate) fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_told_apart_and_typed_easily() {
        let codes: HashSet<_> = RULES.iter().map(|rule| rule.code).collect();
        assert_eq!(codes.len(), RULES.len());
        for rule in RULES {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(rule.code.bytes().all(plain), "{}", rule.code);
            assert!(
                !rule.title.ends_with('.') && rule.mend.ends_with('.'),
                "{}",
                rule.code
            );
        }
        assert_eq!(rule("image-index"), Some(&IMAGE_INDEX));
        assert_eq!(rule("no-such"), None);
    }
}
