//! The machine that a run was measured on.

use super::hexadecimal;
use crate::resources::machine::{cores, governor};
use benchbook_nvml::Nvml;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

/// The machine; `None` and empty where the system does not report a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Distinguishes machines of the same kind: a checksum over the host's name and `/etc/machine-id`. A container or
    /// virtual machine that is created anew is another machine.
    #[serde(default)]
    pub host: Option<String>,
    /// For example `AMD EPYC 7763`.
    pub cpu: Option<String>,
    /// Number of logical cores that this process may use.
    pub cores: usize,
    /// The numbers of these cores; `None` if unknown.
    #[serde(default)]
    pub affinity: Option<Vec<usize>>,
    /// The frequency governor of the cores, for example `performance`.
    #[serde(default)]
    pub governor: Option<String>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// NVIDIA GPUs by name, in the driver's order.
    pub gpus: Vec<String>,
    /// Version of NVIDIA's driver.
    pub gpu_driver: Option<String>,
    /// For example `Debian GNU/Linux 12 (bookworm)`.
    pub os: Option<String>,
    /// For example `Linux 6.1.0-18-amd64 x86_64`.
    pub kernel: String,
    /// The C library of programs on this machine, for example `glibc 2.36`.
    #[serde(default)]
    pub libc: Option<String>,
    /// Environment variables of the process that influence speed or results.
    pub variables: Vec<(String, String)>,
}

/// Prefixes of environment variables that influence deep-learning libraries, the allocator or the dynamic loader.
const VARIABLES: [&str; 16] = [
    "ATEN_",
    "CUDA_",
    "DNNL_",
    "GLIBC_TUNABLES",
    "GOMP_",
    "KERAS_",
    "KMP_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "RAYON_",
    "TF_",
    "XLA_",
];
/// Exceptions: variables for folders and logging, and one that a backend sets itself.
const IRRELEVANT: [&str; 4] =
    ["CUDA_HOME", "LD_LIBRARY_PATH", "TF_CPP_MIN_LOG_LEVEL", "TF_OVERRIDE_GLOBAL_THREADPOOL"];
/// Terraform's variables, which begin like TensorFlow's and may hold paths and secrets.
const OTHERS: [&str; 5] = ["TF_CLI_", "TF_DATA_DIR", "TF_PLUGIN_", "TF_VAR_", "TF_WORKSPACE"];

fn relevant(name: &str) -> bool {
    let begins = |prefix: &&str| name.starts_with(*prefix);
    VARIABLES.iter().any(begins) && !OTHERS.iter().any(begins) && !IRRELEVANT.contains(&name)
}

impl Environment {
    /// The present machine.
    pub fn here() -> Self {
        let (gpus, gpu_driver) = nvidia();
        let text = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        let mut variables: Vec<_> = variables.filter(|(name, _)| relevant(name)).collect();
        variables.sort();
        Self {
            host: host(),
            cpu: field("/proc/cpuinfo", "model name", ':'),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            affinity: Some(cores()),
            governor: governor(),
            memory_bytes: field("/proc/meminfo", "MemTotal", ':')
                .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
                .map(|kibibytes| kibibytes * 1024),
            gpus,
            gpu_driver,
            os: field("/etc/os-release", "PRETTY_NAME", '='),
            kernel: format!(
                "{} {} {}",
                system("ostype").unwrap_or_else(|| std::env::consts::OS.into()),
                system("osrelease").unwrap_or_default(),
                std::env::consts::ARCH
            ),
            libc: libc_version(),
            variables,
        }
    }

    /// States a variable of a process that gets this environment and the variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(relevant(name).then(|| (name.into(), value.into())));
        self.variables.sort();
    }

    /// The index in `gpus` of a process's `device`, for example `cuda:0`. `None` for the processor, and if
    /// `CUDA_VISIBLE_DEVICES` names a part of a GPU (`MIG-…`), which has no figures. CUDA numbers GPUs as the driver does if
    /// all GPUs are alike or `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`.
    pub fn gpu(&self, device: &str) -> Option<usize> {
        self.gpu_among(device, || {
            let devices = Nvml::load().map(Nvml::devices).unwrap_or_default();
            devices.into_iter().map(|device| device.uuid().unwrap_or_default()).collect()
        })
    }

    /// [`Environment::gpu`], with the UUIDs of this machine's GPUs.
    fn gpu_among(&self, device: &str, uuids: impl Fn() -> Vec<String>) -> Option<usize> {
        let number: usize = device.strip_prefix("cuda:")?.parse().ok()?;
        let mut variables = self.variables.iter();
        match variables.find(|(name, _)| name == "CUDA_VISIBLE_DEVICES") {
            None => Some(number),
            Some((_, visible)) => {
                let name = visible.split(',').nth(number)?.trim();
                match name.parse() {
                    Ok(number) => Some(number),
                    // CUDA also accepts the beginning of a UUID.
                    Err(_) if name.starts_with("GPU-") => {
                        uuids().iter().position(|uuid| uuid.starts_with(name))
                    }
                    Err(_) => None,
                }
            }
        }
    }

    /// The name of a process's device, `cpu` or for example `cuda:0`.
    pub fn device_name(&self, device: &str) -> Option<String> {
        match device {
            "cpu" => self.cpu.clone(),
            _ => self.gpus.get(self.gpu(device)?).cloned(),
        }
    }
}

fn host() -> Option<String> {
    let parts = [fs::read_to_string("/etc/machine-id").ok(), system("hostname")];
    let text: Vec<String> = parts.into_iter().flatten().collect();
    (!text.is_empty()).then(|| hexadecimal(&Sha256::digest(text.join("\n"))[..4]))
}

fn libc_version() -> Option<String> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no arguments; the text is a constant of the library.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        Some(format!("glibc {}", version.to_string_lossy()))
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

fn system(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok().map(|text| text.trim().into())
}

/// The first value of a key in a file of lines such as `key: value`.
fn field(path: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// GPUs and driver from the driver's files, or from `nvidia-smi` if a container hides the files.
fn nvidia() -> (Vec<String>, Option<String>) {
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    // The folders are named by bus address, which is the driver's order.
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.path()).collect();
    folders.sort();
    let model =
        |folder: &PathBuf| field(&folder.join("information").to_string_lossy(), "Model", ':');
    let gpus: Vec<String> = folders.iter().filter_map(model).collect();
    let driver = fs::read_to_string("/proc/driver/nvidia/version").ok().and_then(|text| {
        let line = text.lines().next()?.to_owned();
        line.split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .map(Into::into)
    });
    if !gpus.is_empty() {
        return (gpus, driver);
    }
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    let Ok(output) = std::process::Command::new("nvidia-smi").args(query).output() else {
        return (gpus, driver);
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(", ")).collect();
    let driver = rows.first().map(|(_, driver)| (*driver).to_owned()).or(driver);
    (rows.into_iter().map(|(name, _)| name.to_owned()).collect(), driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_a_processor_cores_and_memory() {
        let here = Environment::here();
        assert!(here.cpu.is_some_and(|name| !name.is_empty()));
        assert!(here.cores >= 1);
        assert_eq!(here.host.map(|host| host.len()), Some(8));
        assert!(here.memory_bytes.is_some_and(|bytes| bytes > 1 << 28));
        assert!(here.kernel.starts_with("Linux "), "{}", here.kernel);
        let libc = here.libc.unwrap();
        assert!(std::process::Command::new("ldd").arg("--version").output().is_ok_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            said.lines().next().unwrap_or_default().ends_with(libc.trim_start_matches("glibc "))
        }));
    }

    #[test]
    fn what_a_process_is_given_is_stated_as_it_would_state_it_itself() {
        let mut given = Environment::default();
        for (name, value) in [
            ("TF_ENABLE_ONEDNN_OPTS", "1"),
            ("OMP_NUM_THREADS", "1"),
            ("OMP_NUM_THREADS", "2"),
            ("TF_CPP_MIN_LOG_LEVEL", "2"),
            ("TF_CLI_CONFIG_FILE", "/home/ada/.terraformrc"),
            ("TF_VAR_token", "secret"),
        ] {
            given.set(name, value);
        }
        let expected = [("OMP_NUM_THREADS", "2"), ("TF_ENABLE_ONEDNN_OPTS", "1")];
        assert_eq!(given.variables, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn a_device_is_the_gpu_that_cuda_counts_so() {
        let of = |visible: Option<&str>| Environment {
            cpu: Some("EPYC".into()),
            gpus: vec!["A".into(), "B".into(), "C".into()],
            variables: visible
                .map(|v| ("CUDA_VISIBLE_DEVICES".into(), v.into()))
                .into_iter()
                .collect(),
            ..Environment::default()
        };
        let name = |visible, device| of(visible).device_name(device);
        assert_eq!(name(None, "cpu").as_deref(), Some("EPYC"));
        assert_eq!(name(None, "cuda:1").as_deref(), Some("B"));
        assert_eq!(name(Some("2, 0"), "cuda:0").as_deref(), Some("C"));
        assert_eq!(name(Some("2, 0"), "cuda:2"), None);
        let uuids = || vec!["GPU-7c00-1".to_owned(), "GPU-5a1b-2".to_owned()];
        let by_uuid = |visible| of(Some(visible)).gpu_among("cuda:0", uuids);
        assert_eq!(
            [by_uuid("GPU-5a1b"), by_uuid("GPU-99"), by_uuid("MIG-5a1b")],
            [Some(1), None, None]
        );
        assert_eq!(of(Some("2, 0")).gpu("cuda:1"), Some(0));
        assert_eq!(of(None).gpu("cpu"), None);
    }
}
