//! A model hub of the test's own: what the real one answers to `GET /owner/name/resolve/revision/file`, and what can go
//! wrong on the way.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// What becomes of one request for a file's bytes.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// Every request for the file is answered by this status, from now on.
    Status(u16),
    /// Every byte is another one.
    Corrupt,
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    pub path: String,
    pub range: String,
    pub authorization: String,
}

#[derive(Default)]
struct Shared {
    /// By the path after `resolve/revision/`.
    files: HashMap<String, Vec<u8>>,
    faults: Mutex<Vec<(String, Fault)>>,
    requests: Mutex<Vec<Request>>,
}

/// Serves until the test program ends.
pub struct Server {
    pub endpoint: String,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start(files: HashMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { files, ..Default::default() });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serving.answer(stream.unwrap()); // a client that is gone needs no answer
            }
        });
        Self { endpoint, shared }
    }

    /// The next requests for `file`'s bytes go wrong, one fault a request.
    pub fn fault(&self, file: &str, fault: Fault) {
        self.shared.faults.lock().push((file.into(), fault));
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read(&stream)?;
        self.requests.lock().push(request.clone());
        let file = request.path.split('/').skip(5).collect::<Vec<_>>().join("/");
        let Some(bytes) = self.files.get(&file) else { return status(&mut stream, 404) };
        let asks_for_length = request.range == "bytes=0-0";
        let fault = self.take_fault(&file, asks_for_length);
        if let Some(Fault::Status(code)) = fault {
            return status(&mut stream, code);
        }
        let from: usize =
            request.range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
        let to = if asks_for_length { 1 } else { bytes.len() };
        let mut body = bytes[from..to].to_vec();
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\
             ETag: \"{}\"\r\nX-Repo-Commit: {}\r\nConnection: close\r\n\r\n",
            body.len(),
            to - 1,
            bytes.len(),
            etag(&file, bytes),
            request.path.split('/').nth(4).unwrap(),
        )?;
        match fault {
            Some(Fault::Cut(after)) => body.truncate(after),
            Some(Fault::Corrupt) => body.iter_mut().for_each(|byte| *byte = !*byte),
            _ => {}
        }
        stream.write_all(&body)
    }

    fn take_fault(&self, file: &str, asks_for_length: bool) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let index = faults.iter().position(|(of, _)| of == file)?;
        match faults[index].1 {
            stays @ Fault::Status(_) => Some(stays),
            _ if asks_for_length => None,
            _ => Some(faults.remove(index).1),
        }
    }
}

/// The hub names large files by their SHA-256, small ones by git's name.
fn etag(file: &str, bytes: &[u8]) -> String {
    let name = sha256(bytes);
    if file.ends_with(".safetensors") { name } else { name[..40].into() }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut request = Request::default();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        match line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value)) {
            Some((name, value)) if name == "range" => request.range = value.into(),
            Some((name, value)) if name == "authorization" => request.authorization = value.into(),
            None => request.path = line.split(' ').nth(1).unwrap_or_default().into(),
            _ => {}
        }
    }
    Ok(request)
}

fn status(stream: &mut TcpStream, code: u16) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
