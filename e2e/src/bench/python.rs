//! The trees of the `python` workload, out of real packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixtures::command::run;
use crate::fixtures::{Error, pip, rootfs};

/// What people who have large functions install.
pub(super) const PACKAGES: [&str; 13] = [
    "numpy==2.4.6",
    "scipy==1.17.1",
    "pandas==3.1.1",
    "scikit-learn==1.9.1",
    "pyarrow==26.0.1",
    "onnxruntime==1.32.0",
    "opencv-python-headless==5.0.0.93",
    "boto3==1.44.5",
    "plotly==7.1.0",
    "sympy==1.14.0",
    "statsmodels==0.15.0",
    "polars==2.1.0",
    "networkx==3.6.1",
];

/// Debian's Python, and the packages for it.
pub(super) fn trees(directory: &Path) -> Result<[PathBuf; 2], Error> {
    let [base, packages] = ["base", "packages"].map(|name| directory.join(name));
    rootfs::extract(
        &base,
        "base-files,libc6,libgcc-s1,libstdc++6,dash,coreutils,python3",
    )?;
    let version = rootfs::python_version(&base)?;
    pip::install(
        &packages.join("opt/python"),
        &version,
        &["manylinux2014", "manylinux_2_27", "manylinux_2_28"],
        PACKAGES,
    )?;
    // What was compiled belongs to the image as much as what was written. Some
    // packages carry files for other versions of Python, which do not compile.
    let _partly = run(Command::new("python3")
        .args(["-m", "compileall", "-q"])
        .args(["--invalidation-mode", "unchecked-hash"])
        .arg(packages.join("opt/python")));
    Ok([base, packages])
}
