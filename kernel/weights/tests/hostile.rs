//! Files of weights that are made to hang, to exhaust the memory or to overflow the stack. What memory there is belongs to
//! the process, so each is read by a child of this program with a limit.

use benchbook_nets::{Architecture, Net, Vgg16};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "BENCHBOOK_TEST_FILE";
/// Bytes that the file may add to what the process has at its start.
const ROOM: u64 = 600_000_000;

/// `{"features.0.bias": a vector of so many floats in storage 0}`, so many times.
fn state_dict(count: u32, times: usize) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    for _ in 0..times {
        pickle.extend(
            b"X\x0f\0\0\0features.0.biasctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage",
        );
        pickle.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ");
        pickle.extend(count.to_le_bytes());
        pickle.extend(b"tQK\0J");
        pickle.extend(count.to_le_bytes());
        pickle.extend(b"\x85K\x01\x85\x89NtR");
    }
    pickle.extend(b"u.");
    pickle
}

/// A file in the old format of `torch.save`, with a storage of zeros.
fn old(path: &Path, object: &[u8], zeros: u32) {
    let mut bytes =
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    bytes.extend(object);
    bytes.extend(b"](X\x01\0\0\x000e.");
    bytes.extend(u64::from(zeros).to_le_bytes());
    bytes.resize(bytes.len() + 4 * zeros as usize, 0);
    std::fs::write(path, bytes).unwrap();
}

#[test]
#[ignore = "a part of hostile_files_are_refused_in_little_memory_and_time"]
fn reads_a_file() {
    let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: plain system calls.
    unsafe {
        let bytes = pages * libc::sysconf(libc::_SC_PAGESIZE) as u64 + ROOM;
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
        // A file that hangs ends the process by a signal.
        libc::alarm(60);
    }
    let net = Net::new(Vgg16 { size: 32, ..Vgg16::new(2) }.graph()).unwrap();
    println!("refused: {}", benchbook_weights::read(&path, &net).unwrap_err());
}

#[test]
fn hostile_files_are_refused_in_little_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    old(&at("old deep.pth"), &[&b")"[..], &b"\x85".repeat(3_000_000), b"."].concat(), 1);
    old(&at("old flat.pth"), &[&b"N".repeat(30_000_000)[..], b"."].concat(), 1);
    old(&at("shared.pth"), &state_dict(250_000, 20_000), 250_000);
    for name in ["pipe.pth", "pipe.safetensors", "pipe.h5"] {
        assert!(Command::new("mkfifo").arg(at(name)).status().unwrap().success());
    }
    // data/make.py says what these hold.
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile");
    for entry in std::fs::read_dir(kept).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    // A header of 2^60 bytes, and one that nests beyond all parsers.
    std::fs::write(at("long.safetensors"), (1_u64 << 60).to_le_bytes()).unwrap();
    let nested = b"[".repeat(1_000_000);
    let header = (nested.len() as u64).to_le_bytes();
    std::fs::write(at("nested.safetensors"), [&header[..], &nested].concat()).unwrap();
    let nested = [&b"{\"a\":"[..], &b"[".repeat(1_000_000)].concat();
    let header = (nested.len() as u64).to_le_bytes();
    std::fs::write(at("braces.safetensors"), [&header[..], &nested].concat()).unwrap();

    for (name, reason) in [
        ("deep.pth", "the compressed entry `archive/data.pkl`"),
        ("flat.pth", "the compressed entry `archive/data.pkl`"),
        ("storage.pth", "has the shape [2, 3, 2, 2] in the file"),
        ("shared.pth", "both `features.0.bias` and `features.0.bias`"),
        ("old deep.pth", "a pickle of more than 500000 tuples"),
        ("old flat.pth", "a pickle of more than 4194304 bytes"),
        ("pipe.pth", "expected a file, found a named pipe"),
        ("pipe.safetensors", "expected a file, found a named pipe"),
        ("pipe.h5", "expected a file, found a named pipe"),
        ("huge.h5", "[1099511627776]"),
        ("chunk.h5", "[2, 3, 3, 3]"),
        ("long.safetensors", "a file of none of these formats"),
        ("nested.safetensors", "a file of none of these formats"),
        ("braces.safetensors", "expected a safetensors file"),
    ] {
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "reads_a_file", "--ignored", "--nocapture"])
            .env(FILE, at(name))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{name}: {:?} {text}", ran.status);
        assert!(text.contains("refused: ") && text.contains(reason), "{name}: {text}");
        assert!(text.contains(name), "{name}: {text}");
    }
}
