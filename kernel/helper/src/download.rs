//! Downloads files with progress, resumes broken connections, checks the files and keeps them.
//!
//! Uses https only, also after redirections, and never receives more than the published number of bytes.

use crate::files::write_atomically;
use crate::interrupt::{self, Interrupted};
use crate::record::hexadecimal;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use ureq::Body;
use ureq::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use ureq::http::{Response, StatusCode};

/// A published file with its checksum and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The address, with https.
    pub url: String,
    /// The file's name in the cache.
    pub name: String,
    /// The published checksum.
    pub checksum: Checksum,
    /// The published size.
    pub size: Size,
}

/// A published size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// In bytes.
    Bytes(u64),
    /// In thousandths of a mebibyte, rounded: torchvision's `_file_size`.
    Millimebibytes(u64),
}

impl Size {
    /// The smallest and largest number of bytes with this size.
    fn range(self) -> (u64, u64) {
        match self {
            Size::Bytes(bytes) => (bytes, bytes),
            Size::Millimebibytes(size) => {
                // Half a thousandth to either side.
                let bytes = |halves: u64| (halves << 20) / 2000;
                (bytes(2 * size - 1), bytes(2 * size + 1) + 1)
            }
        }
    }

    fn fits(self, bytes: u64) -> bool {
        let (fewest, most) = self.range();
        (fewest..=most).contains(&bytes)
    }
}

/// `58889256 bytes`, `527.796 MiB`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Size::Millimebibytes(size) => write!(f, "{}.{:03} MiB", size / 1000, size % 1000),
        }
    }
}

/// A published checksum in hexadecimal digits.
///
/// Only a whole SHA-256 detects a deliberate forgery. With less, https and the size add protection;
/// [`Download::checks`] states what is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256, or its first digits, as in the names of PyTorch's files.
    Sha256(String),
    /// MD5, as in Keras' source.
    Md5(String),
}

/// The algorithm, with its limits.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::Sha256(digits) if digits.len() == 64 => f.write_str("SHA-256"),
            Checksum::Sha256(digits) => {
                write!(
                    f,
                    "the first {} of 64 digits of SHA-256, the only published checksum",
                    digits.len()
                )
            }
            Checksum::Md5(_) => {
                f.write_str("MD5, the only published checksum, which can be forged")
            }
        }
    }
}

impl Checksum {
    /// The checksum of a file, in as many digits as this one has.
    fn of(&self, file: &mut File) -> io::Result<String> {
        file.rewind()?;
        let (expected, mut found) = match self {
            Checksum::Sha256(expected) => {
                let mut hash = Sha256::new();
                io::copy(file, &mut hash)?;
                (expected, hexadecimal(&hash.finalize()))
            }
            Checksum::Md5(expected) => {
                let mut hash = Md5::new();
                io::copy(file, &mut hash)?;
                (expected, hexadecimal(&hash.finalize()))
            }
        };
        found.truncate(expected.len());
        Ok(found)
    }

    fn digits(&self) -> &str {
        match self {
            Checksum::Sha256(digits) | Checksum::Md5(digits) => digits,
        }
    }
}

/// An error of a download.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// There is no network or no such server, or the connection broke repeatedly.
    #[error(
        "cannot download {name} from {url}: {problem}; try again, which resumes after the {received} bytes that are \
         kept, or put the file into {}", folder.display()
    )]
    Network {
        /// The file.
        name: String,
        /// The address.
        url: String,
        /// What went wrong.
        problem: String,
        /// Bytes received so far.
        received: u64,
        /// The folder of the cache.
        folder: PathBuf,
    },
    /// The server answers with an error.
    #[error("cannot download {name} from {url}: the server answers with status {status}")]
    Status {
        /// The file.
        name: String,
        /// Where it should be.
        url: String,
        /// HTTP's status.
        status: u16,
    },
    /// The address, or one of its redirections, is not https, so the file could be changed on its way.
    #[error("cannot download {name} from {url}: every address must be https (got {found})")]
    Insecure {
        /// The file.
        name: String,
        /// Where it should be.
        url: String,
        /// The address without https.
        found: String,
    },
    /// The size is not the published one.
    #[error(
        "{name} from {url} must have {expected} (got {found} bytes{}); the file was removed, try again",
        if *more { " or more" } else { "" }
    )]
    Size {
        /// The file.
        name: String,
        /// Where it is from.
        url: String,
        /// The published size.
        expected: Size,
        /// The received bytes.
        found: u64,
        /// Whether the server had more bytes.
        more: bool,
    },
    /// The checksum is not the published one.
    #[error(
        "{name} from {url} must have the checksum {expected} (got {found}); the file was removed, try again"
    )]
    Checksum {
        /// The file.
        name: String,
        /// Where it is from.
        url: String,
        /// The published checksum.
        expected: String,
        /// The received file's checksum.
        found: String,
    },
    /// A file in the cache is not the published one.
    #[error(
        "{} must be the file of {url} with the checksum {expected} (got {found}); replace it by the right file, or remove \
         it to download it", path.display()
    )]
    Different {
        /// The file, which is unchanged.
        path: PathBuf,
        /// The address of the right file.
        url: String,
        /// The published checksum.
        expected: String,
        /// The file's checksum.
        found: String,
    },
    /// A file in the cache cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No folder for the cache is known.
    #[error("there is no cache folder: set BENCHBOOK_CACHE or HOME")]
    NoCache,
    /// The user interrupted the cell. What was received is kept.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Most redirections in a row.
const REDIRECTIONS: usize = 10;
/// Connections in a row without data before the download fails.
const FRUITLESS: usize = 3;
const CONNECTING: Duration = Duration::from_secs(20);
/// Time without data after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);

/// `weights` in the cache folder: `$BENCHBOOK_CACHE`, `$XDG_CACHE_HOME/benchbook`, or
/// `~/.cache/benchbook`.
///
/// # Errors
/// [`DownloadError::NoCache`].
pub fn cache_folder() -> Result<PathBuf, DownloadError> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = folder("BENCHBOOK_CACHE")
        .map(PathBuf::from)
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| Path::new(&cache).join("benchbook")))
        .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache/benchbook")));
    Ok(cache.ok_or(DownloadError::NoCache)?.join("weights"))
}

/// The allowed addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Schemes {
    /// Addresses with https.
    Secure,
    /// Also http on this machine, for the tests' servers.
    #[cfg(test)]
    LoopbackToo,
}

impl Schemes {
    fn allow(self, address: &str) -> bool {
        match self {
            _ if address.starts_with("https://") => true,
            Schemes::Secure => false,
            #[cfg(test)]
            Schemes::LoopbackToo => address.starts_with("http://127.0.0.1:"),
        }
    }
}

/// The address of a redirection to a whole address or to a path of the same server.
fn redirected(from: &str, to: &str) -> Option<String> {
    if to.contains("://") {
        return Some(to.into());
    }
    let path = from.find("://")? + 3;
    let path = from[path..].find('/').map_or(from.len(), |at| path + at);
    (to.starts_with('/') && !to.starts_with("//")).then(|| format!("{}{to}", &from[..path]))
}

impl Download {
    /// What a file is checked by, as text.
    pub fn checks(&self) -> String {
        format!("{}; {}", self.size, self.checksum)
    }

    /// The path of the file in `folder`, downloaded if missing. Resumes the partial file of an earlier attempt, and names
    /// the file only when its checksum is right. Checks an existing file before its first use, and again when its size or
    /// time has changed. `progress` gets the received bytes, and the total if the server gives it.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn fetch(
        &self,
        folder: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<PathBuf, DownloadError> {
        self.fetch_by(Schemes::Secure, folder, progress)
    }

    fn fetch_by(
        &self,
        schemes: Schemes,
        folder: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<PathBuf, DownloadError> {
        let path = folder.join(&self.name);
        let failed = |source| DownloadError::Write { path: path.clone(), source };
        if path.exists() {
            return self.check(path);
        }
        std::fs::create_dir_all(folder).map_err(failed)?;
        let partial = folder.join(format!(".{}.partial", self.name));
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&partial)
            .map_err(failed)?;
        // A second kernel waits for the first, and then finds the file.
        file.lock().map_err(failed)?;
        if path.exists() {
            return self.check(path);
        }
        if let Err(error) = self.receive(schemes, &mut file, folder, progress) {
            if matches!(error, DownloadError::Size { .. }) {
                std::fs::remove_file(&partial).map_err(failed)?;
            }
            return Err(error);
        }
        let bytes = self.length(&file, folder)?;
        if !self.size.fits(bytes) {
            std::fs::remove_file(&partial).map_err(failed)?;
            return Err(self.other_size(bytes, false));
        }
        let found = self.checksum.of(&mut file).map_err(failed)?;
        if found != self.checksum.digits() {
            std::fs::remove_file(&partial).map_err(failed)?;
            return Err(DownloadError::Checksum {
                name: self.name.clone(),
                url: self.url.clone(),
                expected: self.checksum.digits().into(),
                found,
            });
        }
        file.sync_all().map_err(failed)?;
        std::fs::rename(&partial, &path).map_err(failed)?;
        self.remember(&path, &self.stamp(&file).map_err(failed)?);
        Ok(path)
    }

    /// Checks an existing file, unless it was checked before.
    fn check(&self, path: PathBuf) -> Result<PathBuf, DownloadError> {
        let failed = |source| DownloadError::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let stamp = self.stamp(&file).map_err(failed)?;
        if std::fs::read_to_string(self.remembered(&path)).is_ok_and(|kept| kept == stamp) {
            return Ok(path);
        }
        let found = self.checksum.of(&mut file).map_err(failed)?;
        if found != self.checksum.digits() {
            let (url, expected) = (self.url.clone(), self.checksum.digits().into());
            return Err(DownloadError::Different { path, url, expected, found });
        }
        self.remember(&path, &stamp);
        Ok(path)
    }

    /// Identifies a checked file: its checksum, size and time.
    fn stamp(&self, file: &File) -> io::Result<String> {
        let metadata = file.metadata()?;
        let time = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(format!("{} {} {}\n", self.checksum.digits(), metadata.len(), time.as_nanos()))
    }

    /// The file for the stamp of a checked file.
    fn remembered(&self, path: &Path) -> PathBuf {
        path.with_file_name(format!(".{}.checked", self.name))
    }

    /// Writes the stamp; in a read-only folder the file is checked each time.
    fn remember(&self, path: &Path, stamp: &str) {
        let _ = write_atomically(&self.remembered(path), |file| file.write_all(stamp.as_bytes()));
    }

    fn other_size(&self, found: u64, more: bool) -> DownloadError {
        DownloadError::Size {
            name: self.name.clone(),
            url: self.url.clone(),
            expected: self.size,
            found,
            more,
        }
    }

    /// Connects until the file is complete.
    fn receive(
        &self,
        schemes: Schemes,
        file: &mut File,
        folder: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .https_only(schemes == Schemes::Secure)
            // `ask` follows redirections and checks each address.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECTING))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        let mut fruitless = 0;
        loop {
            let before = self.length(file, folder)?;
            let problem = match self.connect(&agent, schemes, file, folder, progress)? {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            };
            let received = self.length(file, folder)?;
            fruitless = if received > before { 0 } else { fruitless + 1 };
            if fruitless == FRUITLESS {
                return Err(DownloadError::Network {
                    name: self.name.clone(),
                    url: self.url.clone(),
                    problem,
                    received,
                    folder: folder.into(),
                });
            }
        }
    }

    /// Requests the bytes from `at` on and follows redirections. `Ok(Err(why))` if another attempt may help.
    fn ask(
        &self,
        agent: &ureq::Agent,
        schemes: Schemes,
        at: u64,
    ) -> Result<Result<Response<Body>, String>, DownloadError> {
        let mut address = self.url.clone();
        for _ in 0..=REDIRECTIONS {
            if !schemes.allow(&address) {
                let (name, url) = (self.name.clone(), self.url.clone());
                return Err(DownloadError::Insecure { name, url, found: address });
            }
            let mut request = agent.get(&address);
            if at > 0 {
                request = request.header(RANGE, format!("bytes={at}-"));
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location.filter(|_| response.status().is_redirection()) {
                None => return Ok(Ok(response)),
                Some(to) => match redirected(&address, to) {
                    Some(next) => address = next,
                    None => {
                        return Ok(Err(format!(
                            "{address} redirects to `{to}`, which is not an address"
                        )));
                    }
                },
            }
        }
        Ok(Err(format!("more than {REDIRECTIONS} redirections, the last to {address}")))
    }

    fn length(&self, file: &File, folder: &Path) -> Result<u64, DownloadError> {
        let length = file.metadata().map(|metadata| metadata.len());
        length.map_err(|source| self.unwritable(folder, source))
    }

    fn unwritable(&self, folder: &Path, source: io::Error) -> DownloadError {
        DownloadError::Write { path: folder.join(&self.name), source }
    }

    /// Receives over one connection: `Ok(Ok(()))` if the file is now complete, `Ok(Err(why))` if another connection may help.
    fn connect(
        &self,
        agent: &ureq::Agent,
        schemes: Schemes,
        file: &mut File,
        folder: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Result<(), String>, DownloadError> {
        let unwritable = |source| self.unwritable(folder, source);
        let mut at = self.length(file, folder)?;
        let mut response = match self.ask(agent, schemes, at)? {
            Ok(response) => response,
            Err(problem) => return Ok(Err(problem)),
        };
        match response.status() {
            StatusCode::OK => {
                // A server without ranges starts at the first byte.
                at = 0;
                file.set_len(0).map_err(unwritable)?;
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE);
                let range = range.and_then(|value| value.to_str().ok()).unwrap_or_default();
                if !range.starts_with(&format!("bytes {at}-")) {
                    file.set_len(0).map_err(unwritable)?;
                    return Ok(Err(format!("requested bytes from {at}, got `{range}`")));
                }
            }
            // The file is complete; its checksum follows.
            StatusCode::RANGE_NOT_SATISFIABLE if at > 0 => return Ok(Ok(())),
            status if status.is_server_error() => {
                return Ok(Err(format!("the server answers {status}")));
            }
            status => {
                return Err(DownloadError::Status {
                    name: self.name.clone(),
                    url: self.url.clone(),
                    status: status.as_u16(),
                });
            }
        }
        let total = response.body().content_length().map(|rest| at + rest);
        progress(at, total);
        file.seek(SeekFrom::Start(at)).map_err(unwritable)?;
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            interrupt::check()?;
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let (_, most) = self.size.range();
            if at + count as u64 > most {
                return Err(self.other_size(at + count as u64, true));
            }
            file.write_all(&buffer[..count]).map_err(unwritable)?;
            at += count as u64;
            progress(at, total);
        }
        Ok(match total {
            Some(total) if at < total => {
                Err(format!("the connection ended after {at} of {total} bytes"))
            }
            _ => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// How the server answers one connection.
    #[derive(Clone, Copy)]
    enum Answer {
        /// As it should, from the byte that was asked for.
        Whole,
        /// Breaks off after so many bytes of the body.
        Cut(usize),
        /// As if it knew no ranges.
        FromTheStart,
        /// Another file of the same length.
        Wrong,
        /// A byte more than was published.
        Longer,
        Status(u16),
        /// To another address.
        Redirect(&'static str),
    }

    fn content() -> Vec<u8> {
        (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn download(url: String) -> Download {
        let sum = Sha256::digest(content());
        let digits = hexadecimal(&sum[..4]);
        let size = Size::Bytes(content().len() as u64);
        Download { url, name: "file.bin".into(), checksum: Checksum::Sha256(digits), size }
    }

    /// [`Download::fetch`] from a server of this machine, which has no certificate.
    fn fetch(
        download: &Download,
        folder: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<PathBuf, DownloadError> {
        download.fetch_by(Schemes::LoopbackToo, folder, progress)
    }

    /// A server with one connection per answer; returns the first byte that each requested.
    fn serve(answers: Vec<Answer>) -> (String, JoinHandle<Vec<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut from = 0;
                for line in BufReader::new(&stream).lines() {
                    let line = line.unwrap().to_lowercase();
                    if let Some(range) = line.strip_prefix("range: bytes=") {
                        from = range.trim_end_matches('-').parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                asked.push(from);
                let mut body = content();
                let total = body.len();
                let (status, start) = match answer {
                    Answer::Status(status) => (status, total),
                    Answer::Redirect(_) => (302, total),
                    Answer::FromTheStart => (200, 0),
                    _ if from >= total => (416, total),
                    _ if from > 0 => (206, from),
                    _ => (200, 0),
                };
                if let Answer::Wrong = answer {
                    body[total / 2] ^= 1;
                }
                if let Answer::Longer = answer {
                    body.push(0);
                }
                let body = &body[start..];
                let mut head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n",
                    body.len()
                );
                if status == 206 {
                    head += &format!("content-range: bytes {start}-{}/{total}\r\n", total - 1);
                }
                if let Answer::Redirect(to) = answer {
                    head += &format!("location: {to}\r\n");
                }
                let sent = if let Answer::Cut(length) = answer { length } else { body.len() };
                stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
                stream.write_all(&body[..sent]).unwrap();
            }
            asked
        });
        (url, server)
    }

    #[test]
    fn a_file_is_fetched_once_and_progress_ends_at_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Whole]);
        let mut last = (0, None);
        let mut progress = |done, total| last = (done, total);
        let path = fetch(&download(url.clone()), folder.path(), &mut progress).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content());
        assert_eq!(last, (200_000, Some(200_000)));
        assert_eq!(server.join().unwrap(), [0]);
        // The server is gone; the file is there.
        assert_eq!(fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap(), path);
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".file.bin.checked", "file.bin"]);
    }

    #[test]
    fn a_file_that_was_put_there_is_checked_and_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.bin");
        let nowhere = download("http://127.0.0.1:9/file.bin".into());
        let mut wrong = content();
        wrong[100_000] ^= 1;
        std::fs::write(&path, &wrong).unwrap();
        let error = fetch(&nowhere, folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, DownloadError::Different { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), wrong);
        std::fs::write(&path, content()).unwrap();
        assert_eq!(fetch(&nowhere, folder.path(), &mut |_, _| ()).unwrap(), path);
        // Changed after it was checked; the size is the same.
        std::fs::write(&path, &wrong).unwrap();
        let error = fetch(&nowhere, folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, DownloadError::Different { .. }), "{error}");
    }

    #[test]
    fn broken_connections_are_continued_where_they_broke() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Cut(70_000), Answer::Cut(50_000), Answer::Whole]);
        let path = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content());
        assert_eq!(server.join().unwrap(), [0, 70_000, 120_000]);
    }

    #[test]
    fn an_attempt_that_failed_is_continued_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) =
            serve(vec![Answer::Cut(90_000), Answer::Cut(0), Answer::Cut(0), Answer::Cut(0)]);
        let failed = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err().to_string();
        assert!(
            failed.contains("file.bin") && failed.contains("90000 bytes that are kept"),
            "{failed}"
        );
        server.join().unwrap();
        let (url, server) = serve(vec![Answer::Whole]);
        let path = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content());
        assert_eq!(server.join().unwrap(), [90_000]);
    }

    #[test]
    fn a_server_without_ranges_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Cut(90_000), Answer::FromTheStart]);
        let path = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content());
        assert_eq!(server.join().unwrap(), [0, 90_000]);
    }

    #[test]
    fn wrong_bytes_are_named_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Wrong]);
        let wrong = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(wrong, DownloadError::Checksum { .. }), "{wrong}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        server.join().unwrap();
    }

    #[test]
    fn more_bytes_than_were_published_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Longer]);
        let wrong = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(wrong, DownloadError::Size { found: 200_001, more: true, .. }), "{wrong}");
        assert!(wrong.to_string().contains("200000 bytes"), "{wrong}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        server.join().unwrap();
    }

    #[test]
    fn only_https_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        // No request is sent: there is no server.
        let plain = download("http://127.0.0.1:9/file.bin".into());
        let refused = plain.fetch(folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(&refused, DownloadError::Insecure { .. }), "{refused}");
        assert!(refused.to_string().contains("http://127.0.0.1:9/file.bin"), "{refused}");
        // Also where a server that may be asked sends one to another; to itself is well.
        let (url, server) = serve(vec![Answer::Redirect("/elsewhere"), Answer::Whole]);
        fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap();
        server.join().unwrap();
        std::fs::remove_file(folder.path().join("file.bin")).unwrap();
        for to in ["http://example.org/file.bin", "ftp://example.org/file.bin"] {
            let (url, server) = serve(vec![Answer::Redirect(to)]);
            let refused = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err();
            assert!(matches!(&refused, DownloadError::Insecure { .. }), "{refused}");
            assert!(refused.to_string().contains(to), "{refused}");
            server.join().unwrap();
        }
    }

    #[test]
    fn redirections_lead_to_a_whole_address_or_a_path() {
        let from = "https://a.org/models/file";
        let to = |to: &str| redirected(from, to);
        assert_eq!(to("https://b.org/x").unwrap(), "https://b.org/x");
        assert_eq!(to("/x").unwrap(), "https://a.org/x");
        assert_eq!(redirected("https://a.org", "/x").unwrap(), "https://a.org/x");
        assert_eq!((to("//b.org/x"), to("x")), (None, None));
    }

    #[test]
    fn sizes_are_those_of_the_published_files() {
        // torchvision's vgg16-397923af.pth has 553,433,881 bytes and its source says 527.796.
        let size = Size::Millimebibytes(527_796);
        assert!(size.fits(553_433_881));
        assert!(!size.fits(553_433_881 - 600) && !size.fits(553_433_881 + 1200));
        assert_eq!(size.to_string(), "527.796 MiB");
        let checks = Download { size, ..download(String::new()) }.checks();
        assert!(checks.contains("the first 8 of 64 digits of SHA-256"), "{checks}");
    }

    #[test]
    fn a_file_that_was_complete_but_unchecked_needs_no_more_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".file.bin.partial"), content()).unwrap();
        let (url, server) = serve(vec![Answer::Whole]);
        let path = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content());
        assert_eq!(server.join().unwrap(), [200_000]);
    }

    #[test]
    fn a_missing_file_and_a_missing_server_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Status(404)]);
        let missing = fetch(&download(url.clone()), folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(missing, DownloadError::Status { status: 404, .. }), "{missing}");
        server.join().unwrap();
        // The server is gone.
        let gone = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err().to_string();
        let advice = format!("put the file into {}", folder.path().display());
        assert!(gone.contains(&advice), "{gone}");
    }

    #[test]
    fn a_full_disk_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(".file.bin.partial")).unwrap();
        let (url, server) = serve(vec![Answer::Whole]);
        let full = fetch(&download(url), folder.path(), &mut |_, _| ()).unwrap_err();
        assert!(matches!(full, DownloadError::Write { .. }), "{full}");
        assert!(full.to_string().contains("file.bin"), "{full}");
        drop(server);
    }

    #[test]
    fn md5_is_keras_way() {
        // echo -n abc | md5sum
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let sum = Checksum::Md5("900150983cd24fb0d6963f7d28e17f72".into());
        assert_eq!(sum.of(&mut file).unwrap(), sum.digits());
    }
}
