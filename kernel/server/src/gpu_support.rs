//! The builds of libtorch that support this machine's GPUs, and the one that Benchbook would download.

use crate::cache;
use crate::libtorch::{Libtorch, VERSION};
use std::process::Command;

/// A GPU as `nvidia-smi` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// For example `Tesla T4`.
    pub name: String,
    /// The version of the driver.
    pub driver: String,
    /// The compute capability.
    pub capability: String,
}

/// A build of libtorch 2.11 with CUDA.
struct Build {
    /// The suffix of its version.
    suffix: &'static str,
    /// The lowest supported compute capability.
    capability: f64,
    /// The oldest driver that runs its CUDA.
    driver: f64,
}

/// Sources: PyTorch 2.11's lists of architectures; the CUDA 13.0 and 12.x release notes (drivers).
const BUILDS: [Build; 3] = [
    Build { suffix: "cu130", capability: 7.5, driver: 580.0 },
    Build { suffix: "cu128", capability: 7.5, driver: 525.0 },
    Build { suffix: "cu126", capability: 5.0, driver: 525.0 },
];

/// The build on PyPI, which is what Benchbook downloads.
const DOWNLOADED: &Build = &BUILDS[0];

impl Build {
    fn serves(&self, gpu: &Gpu) -> bool {
        number(&gpu.capability) >= self.capability && number(&gpu.driver) >= self.driver
    }
}

/// Whether a libtorch supports a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// Cells can use it.
    Used,
    /// Cells cannot use the GPU; the reason, and the remedy if there is one.
    Unused(String),
}

impl Gpu {
    /// The GPUs that the driver lists; empty without an NVIDIA driver.
    pub fn all() -> Vec<Self> {
        let query = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"];
        let output = Command::new("nvidia-smi").args(query).output().ok();
        let output = output.filter(|output| output.status.success());
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(", ").map(str::trim).collect();
        let [name, driver, capability] = fields.as_slice() else { return None };
        Some(Self {
            name: (*name).to_owned(),
            driver: (*driver).to_owned(),
            capability: (*capability).to_owned(),
        })
    }

    /// Whether a libtorch supports this GPU.
    pub fn support(&self, libtorch: Option<&Libtorch>) -> Support {
        match libtorch.filter(|libtorch| libtorch.has_cuda()) {
            Some(libtorch) => self.support_by(libtorch),
            None => Support::Unused(self.how_to_use()),
        }
    }

    fn support_by(&self, libtorch: &Libtorch) -> Support {
        let build = BUILDS.iter().find(|build| libtorch.version.ends_with(build.suffix));
        match build {
            Some(build) if !build.serves(self) => Support::Unused(format!(
                "libtorch {} needs compute capability {} and driver {:.0} or newer; {}",
                libtorch.version,
                build.capability,
                build.driver,
                self.how_to_use()
            )),
            // For unknown builds, trust the user's choice.
            _ => Support::Used,
        }
    }

    /// How to get a libtorch that supports this GPU.
    fn how_to_use(&self) -> String {
        let Self { name, capability, .. } = self;
        match BUILDS.iter().find(|build| build.serves(self)) {
            Some(build) if build.suffix == DOWNLOADED.suffix => {
                format!(
                    "run `{} --cuda`, which downloads libtorch with CUDA",
                    cache::setup_command()
                )
            }
            Some(build) => format!(
                "run `pip install torch=={VERSION} --index-url https://download.pytorch.org/whl/{}` in the \
                 environment of the kernel, which then finds it; PyPI's build does not serve this GPU and driver",
                build.suffix
            ),
            None if number(capability) < 5.0 => format!(
                "no build of libtorch {VERSION} has kernels for compute capability {capability} ({name}); \
                 everything runs on the CPU"
            ),
            None => format!(
                "update the driver: libtorch {VERSION} needs 525 or newer, with CUDA 13 580"
            ),
        }
    }
}

/// The build that Benchbook would download, and the reason.
pub fn download(gpus: &[Gpu]) -> (&'static str, String) {
    match gpus {
        [] => ("cpu", "there is no NVIDIA GPU".into()),
        [gpu, ..] => match gpus.iter().find(|gpu| DOWNLOADED.serves(gpu)) {
            Some(gpu) => ("cuda", format!("{} can use it", gpu.name)),
            None => (
                "cpu",
                format!(
                    "{} (compute capability {}, driver {}) cannot use PyPI's build for CUDA",
                    gpu.name, gpu.capability, gpu.driver
                ),
            ),
        },
    }
}

/// The first two parts of a version.
fn number(version: &str) -> f64 {
    version.split('.').take(2).collect::<Vec<_>>().join(".").parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn gpu(line: &str) -> Gpu {
        Gpu::parse(line).unwrap()
    }

    fn advice(line: &str) -> String {
        match gpu(line).support(None) {
            Support::Unused(why) => why,
            Support::Used => panic!("there is no libtorch"),
        }
    }

    #[test]
    fn each_gpu_is_told_the_build_that_serves_it() {
        assert!(advice("NVIDIA H100 80GB HBM3, 580.95.05, 9.0").contains("setup --cuda"));
        assert!(advice("Tesla T4, 550.54.15, 7.5").contains("whl/cu128"));
        assert!(advice("Tesla P100-PCIE-16GB, 560.35.03, 6.0").contains("whl/cu126"));
        assert!(advice("Tesla V100-SXM2-16GB, 580.65.06, 7.0").contains("whl/cu126"));
        assert!(advice("Tesla K80, 470.256.02, 3.7").contains("no build of libtorch 2.11.0"));
        assert!(advice("Tesla T4, 470.256.02, 7.5").contains("update the driver"));
    }

    #[test]
    fn only_what_serves_a_gpu_is_downloaded() {
        assert_eq!(download(&[]).0, "cpu");
        assert_eq!(download(&[gpu("Tesla K80, 470.256.02, 3.7")]).0, "cpu");
        let (build, why) = download(&[gpu("Tesla P100, 560.35, 6.0"), gpu("T4, 580.1, 7.5")]);
        assert_eq!((build, why.as_str()), ("cuda", "T4 can use it"));
    }

    #[test]
    fn an_installed_build_is_judged_by_its_own_limits() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libtorch_cuda.so"), "").unwrap();
        let libtorch = |suffix: &str| Libtorch {
            folder: folder.path().into(),
            version: format!("{VERSION}+{suffix}"),
        };
        let t4 = gpu("Tesla T4, 550.54.15, 7.5");
        assert_eq!(t4.support(Some(&libtorch("cu128"))), Support::Used);
        assert!(
            matches!(t4.support(Some(&libtorch("cu130"))), Support::Unused(why) if why.contains("580"))
        );
        let p100 = gpu("Tesla P100, 560.35.03, 6.0");
        assert_eq!(p100.support(Some(&libtorch("cu126"))), Support::Used);
    }
}
