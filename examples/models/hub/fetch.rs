//! One file from the hub into its cache, which Python's `huggingface_hub` shares.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};

use super::manifest::Source;

const PUBLIC: &str = "https://huggingface.co";

/// Why a file did not come. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{endpoint} cannot be reached ({cause}): go online, or set HF_ENDPOINT to a mirror that can")]
    Offline { endpoint: String, cause: String },
    #[error(
        "{repository} is not open to everybody: accept its terms at {endpoint}/{repository} and set HF_TOKEN to a \
         token of your account"
    )]
    Forbidden { endpoint: String, repository: String },
    #[error(
        "{endpoint} has no {file} of {repository} at {revision}: set HF_ENDPOINT to a hub that has, or fetch a newer manifest"
    )]
    Missing { endpoint: String, repository: String, revision: String, file: String },
    #[error("{file} came in part ({cause}): run again, it goes on where it stopped")]
    Cut { file: String, cause: String },
    #[error(
        "no room for {file} in {folder}: make room, or set HF_HOME to a folder on another disk; it goes on where it stopped"
    )]
    DiskFull { file: String, folder: PathBuf },
    #[error(
        "{file} has the SHA-256 {found}, where {expected} was to come; it was removed: run again, and if that does not help set another HF_ENDPOINT"
    )]
    Checksum { file: String, found: String, expected: String },
    #[error("{file}: {cause}")]
    Other { file: String, cause: String },
}

/// A hub and the cache of what came from it.
pub struct Hub {
    pub endpoint: String,
    /// Python's `$HF_HOME/hub`
    pub cache: PathBuf,
    pub token: Option<String>,
    pub progress: bool,
}

impl Hub {
    /// As the environment says, by Python's names.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let home = variable("HF_HOME").map(|home| Cache::new(Path::new(&home).join("hub")));
        let cache = home.unwrap_or_default();
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| PUBLIC.into());
        Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            token: variable("HF_TOKEN").or_else(|| cache.token()),
            cache: cache.path().clone(),
            progress: true,
        }
    }

    /// The file's place in the cache. It is fetched where it is not there; a connection that is cut is taken up again as
    /// long as something comes.
    pub fn get(&self, source: &Source, file: &str) -> Result<PathBuf, FetchError> {
        let repo = Repo::with_revision(source.repository.clone(), RepoType::Model, source.revision.clone());
        let cached = Cache::new(self.cache.clone()).repo(repo.clone());
        // `get` knows branches, but not the commits that Python fetched
        let by_commit = Some(cached.pointer_path(&source.revision).join(file)).filter(|known| known.exists());
        if let Some(known) = by_commit.or_else(|| cached.get(file)) {
            return Ok(known);
        }
        let failed = |error| self.explain(error, source, file);
        let api = self.api().map_err(failed)?;
        let remote = api.repo(repo);
        let metadata = api.metadata(&remote.url(file)).map_err(failed)?;
        let part = cached.blob_path(metadata.etag()).with_extension("part");
        if length(&part) >= metadata.size() as u64 {
            let _ = fs::remove_file(&part); // where there is none, nothing is to be done
        }
        go_on(&remote, file, &part).map_err(failed)
    }

    fn api(&self) -> Result<Api, ApiError> {
        ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(self.progress)
            .build()
    }

    fn explain(&self, error: ApiError, source: &Source, file: &str) -> FetchError {
        let (endpoint, repository) = (self.endpoint.clone(), source.repository.clone());
        let (file, cause) = (file.to_owned(), error.to_string());
        match error {
            ApiError::RequestError(request) => match *request {
                ureq::Error::StatusCode(401 | 403) => FetchError::Forbidden { endpoint, repository },
                ureq::Error::StatusCode(404) => {
                    FetchError::Missing { endpoint, repository, revision: source.revision.clone(), file }
                }
                ureq::Error::StatusCode(_) => FetchError::Other { file, cause },
                _ => FetchError::Offline { endpoint, cause },
            },
            ApiError::IoError(error) if error.kind() == ErrorKind::StorageFull => {
                FetchError::DiskFull { file, folder: self.cache.clone() }
            }
            ApiError::IoError(error) if is_cut(&error) => FetchError::Cut { file, cause },
            _ => FetchError::Other { file, cause },
        }
    }
}

/// Fetches until the file is there or an attempt has brought nothing.
fn go_on(remote: &ApiRepo, file: &str, part: &Path) -> Result<PathBuf, ApiError> {
    loop {
        let before = length(part);
        match remote.download(file) {
            Err(ApiError::IoError(error)) if is_cut(&error) && length(part) > before => {}
            done => return done,
        }
    }
}

/// Whether the connection, and not the disk, made the error.
fn is_cut(error: &std::io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Other, TimedOut, UnexpectedEof};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Other | TimedOut | UnexpectedEof)
}

fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}
