//! One thread per (model, device, dtype) that owns all torch objects and serves every session through a
//! channel. Callers wait for a reply or for their cancel token, whichever is first, never for a kernel.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::{
    CancelToken, EditParameters, EditedBatch, Engine, EngineError, Frame, Loaded, ModelStatistics, Pace,
    batch, fault::guarded, model::Model, process_end, session::Session, user_edits::ROUNDING,
    warm_up::warm_up,
};
use crate::{
    editors::picture_folder,
    torch::Placement,
    weights::{ModelFolder, search_path},
};

/// What one server serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    folder: ModelFolder,
    device: String,
    dtype: String,
}

type Reply<T> = Sender<Result<T, EngineError>>;

enum Job {
    /// Answers once the model is loaded.
    Open {
        session: u64,
        reply: Reply<Opened>,
    },
    Process {
        session: u64,
        batch: Box<Batch>,
    },
    Reset {
        session: u64,
    },
    Close {
        session: u64,
    },
}

/// What a session knows of its model.
#[derive(Debug)]
struct Opened {
    device: String,
    batch_size: Option<usize>,
    notes: Vec<String>,
}

struct Batch {
    frames: Vec<Frame>,
    parameters: EditParameters,
    cancel: CancelToken,
    reply: Reply<EditedBatch>,
}

#[derive(Debug)]
struct Server {
    /// `None` only while the server is being dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Raised when nobody wants the model any more, be it still loading.
    abandoned: CancelToken,
}

impl Drop for Server {
    /// Waits until the thread has freed the model. What it is at was cancelled, so this takes no longer than
    /// one network call. At the end of the process the thread stays where it is.
    fn drop(&mut self) {
        self.jobs = None;
        self.abandoned.cancel();
        if let Some(thread) = self.thread.take().filter(|_| !process_end::has_begun()) {
            let _ = thread.join(); // its panics were caught and answered
        }
    }
}

static SERVERS: Lazy<Mutex<HashMap<Key, Weak<Server>>>> = Lazy::new(Default::default);
static NEXT_SESSION: AtomicU64 = AtomicU64::new(0);
static LOADS: AtomicU64 = AtomicU64::new(0);

/// See [`super::model_statistics`].
pub fn statistics() -> ModelStatistics {
    let in_memory = SERVERS.lock().values().filter(|server| server.strong_count() > 0).count();
    ModelStatistics { loads: LOADS.load(Ordering::Relaxed), in_memory }
}

/// Opens a session with the server of this model, device and dtype; starts one where there is none.
///
/// # Errors
/// [`EngineError::Unavailable`] with what is missing, [`EngineError::Cancelled`].
pub fn open(
    (model, preset): (&str, &str),
    (device, dtype): (&str, &str),
    plugin_folder: Option<&PathBuf>,
    cancel: &CancelToken,
) -> Result<Box<dyn Engine>, EngineError> {
    let places = search_path(plugin_folder.map(PathBuf::as_path));
    let folder = ModelFolder::find(model, &places)?.with_preset(preset)?;
    let server = server(Key { folder, device: device.into(), dtype: dtype.into() })?;
    let session = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
    let (reply, answer) = bounded(1);
    server.send(Job::Open { session, reply })?;
    let opened = wait(&answer, cancel)?;
    Ok(Box::new(SessionHandle { server, session, opened, seeded: false }))
}

fn server(key: Key) -> Result<Arc<Server>, EngineError> {
    let mut servers = SERVERS.lock();
    let known = servers.get(&key).and_then(Weak::upgrade);
    if let Some(running) = known.filter(Server::is_alive) {
        return Ok(running);
    }
    let started = Arc::new(Server::start(key.clone())?);
    servers.retain(|_, server| server.strong_count() > 0);
    servers.insert(key, Arc::downgrade(&started));
    Ok(started)
}

impl Server {
    fn start(key: Key) -> Result<Self, EngineError> {
        let (jobs, received) = unbounded();
        let abandoned = CancelToken::new();
        let for_thread = abandoned.clone();
        let thread = thread::Builder::new()
            .name("flowvid-server".into())
            .spawn(move || serve(&key, &received, &for_thread))
            .map_err(|error| EngineError::Internal(format!("no thread for the engine: {error}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), abandoned })
    }

    /// A thread that ended by a fault of ours serves nobody, however many sessions hold on to it.
    fn is_alive(self: &Arc<Self>) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn send(&self, job: Job) -> Result<(), EngineError> {
        let jobs = self.jobs.as_ref().ok_or_else(server_is_gone)?;
        jobs.send(job).map_err(|_| server_is_gone())
    }
}

fn serve(key: &Key, jobs: &Receiver<Job>, abandoned: &CancelToken) {
    let device = key.device.as_str();
    let Some(loading) = process_end::enter(abandoned) else { return };
    // Thread-local in torch: the model is never trained here.
    let _no_grad = tch::no_grad_guard();
    let model = guarded(device, || load(key, abandoned));
    process_end::wait_for_threads();
    drop(loading);
    let mut served = Served { model, device, sessions: HashMap::new() };
    for job in jobs {
        let Some(_inside) = process_end::enter(job.cancel().unwrap_or(abandoned)) else { stay_out() };
        served.serve(job);
    }
    let Some(_inside) = process_end::enter(abandoned) else { stay_out() };
    drop(served);
}

/// The process ends: this thread must neither free nor use what is torch's.
fn stay_out() -> ! {
    loop {
        thread::park();
    }
}

impl Job {
    /// What calls it off.
    fn cancel(&self) -> Option<&CancelToken> {
        match self {
            Self::Process { batch, .. } => Some(&batch.cancel),
            _ => None,
        }
    }
}

/// What the server's thread owns.
struct Served<'a> {
    model: Result<Model, EngineError>,
    device: &'a str,
    sessions: HashMap<u64, Session>,
}

impl Served<'_> {
    fn serve(&mut self, job: Job) {
        match job {
            Job::Open { session, reply } => {
                self.sessions.insert(session, Session::default());
                let opened = |model: &Model| Opened {
                    device: model.placement.device_name(),
                    batch_size: model.batch_size,
                    notes: model.notes.clone(),
                };
                let _ = reply.send(self.model.as_ref().map(opened).map_err(Clone::clone));
            }
            Job::Process { session, batch } => {
                let state = self.sessions.entry(session).or_default();
                let result = process(&self.model, state, &batch, self.device);
                let _ = batch.reply.send(result); // a caller that was cancelled is gone
            }
            Job::Reset { session } => drop(self.sessions.insert(session, Session::default())),
            Job::Close { session } => drop(self.sessions.remove(&session)),
        }
    }
}

fn process(
    model: &Result<Model, EngineError>,
    state: &mut Session,
    batch: &Batch,
    device: &str,
) -> Result<EditedBatch, EngineError> {
    let model = model.as_ref().map_err(Clone::clone)?;
    let result = guarded(device, || state.process(model, &batch.frames, &batch.parameters, &batch.cancel));
    if result.is_err() {
        state.end_shot(); // what a broken-off batch left behind must not seed the next
    }
    result
}

fn load(key: &Key, abandoned: &CancelToken) -> Result<Model, EngineError> {
    let placement = Placement::resolve(&key.device, &key.dtype)?;
    let model = Model::load(&key.folder, placement, abandoned)?;
    LOADS.fetch_add(1, Ordering::Relaxed);
    warm_up(&model, abandoned);
    Ok(model)
}

fn server_is_gone() -> EngineError {
    EngineError::Internal("the engine's thread has ended".into())
}

fn wait<T>(answer: &Receiver<Result<T, EngineError>>, cancel: &CancelToken) -> Result<T, EngineError> {
    select! {
        recv(answer) -> answered => answered.unwrap_or_else(|_| Err(server_is_gone())),
        recv(cancel.raised()) -> _ => Err(EngineError::Cancelled),
    }
}

/// One element's end of the channel.
#[derive(Debug)]
struct SessionHandle {
    server: Arc<Server>,
    session: u64,
    opened: Opened,
    seeded: bool,
}

impl Engine for SessionHandle {
    fn batch_frames(&self, parameters: &EditParameters) -> usize {
        parameters.batch_frames(self.opened.batch_size, self.seeded)
    }

    fn batch_frames_at(&self, parameters: &EditParameters, pace: Pace) -> usize {
        let folder = parameters.edited_frame.as_deref().filter(|setting| setting.is_dir());
        // A folder that cannot be taken is told of when its pictures are read.
        let pictures = folder.and_then(|folder| picture_folder::list(folder).ok()).unwrap_or_default();
        let later = pictures.iter().filter_map(|picture| picture.time.checked_sub(pace.first));
        let frames: Vec<usize> =
            later.map(|after| ((after + ROUNDING) / pace.frame.max(1)) as usize).collect();
        batch::shortened(self.batch_frames(parameters), &frames)
    }

    fn process(
        &mut self,
        frames: Vec<Frame>,
        parameters: &EditParameters,
        cancel: &CancelToken,
    ) -> Result<EditedBatch, EngineError> {
        let (reply, answer) = bounded(1);
        let (parameters, cancel_there) = (parameters.clone(), cancel.clone());
        let batch = Box::new(Batch { frames, parameters, cancel: cancel_there, reply });
        self.server.send(Job::Process { session: self.session, batch })?;
        let result = wait(&answer, cancel);
        self.seeded = result.is_ok();
        result
    }

    fn reset(&mut self) {
        self.seeded = false;
        let _ = self.server.send(Job::Reset { session: self.session }); // gone: nothing to forget
    }

    fn device(&self) -> String {
        self.opened.device.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.opened.notes.clone()
    }

    fn loaded(&self) -> Loaded {
        self.server.clone()
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let _ = self.server.send(Job::Close { session: self.session });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_died_is_told_and_replaced() {
        let model = env!("CARGO_MANIFEST_DIR").to_owned() + "/models/nano";
        let folder = ModelFolder::find(&model, &[]).unwrap();
        let key = Key { folder, device: "cpu".into(), dtype: "auto".into() };
        let (jobs, received) = unbounded();
        let thread = thread::spawn(move || drop(received));
        while !thread.is_finished() {
            thread::yield_now();
        }
        let dead = Arc::new(Server { jobs: Some(jobs), thread: Some(thread), abandoned: CancelToken::new() });
        SERVERS.lock().insert(key, Arc::downgrade(&dead));
        let opened = Opened { device: "cpu".into(), batch_size: None, notes: vec![] };
        let mut session = SessionHandle { server: dead.clone(), session: 0, opened, seeded: false };
        let told = session.process(vec![], &EditParameters::default(), &CancelToken::new()).unwrap_err();
        assert!(matches!(&told, EngineError::Internal(said) if said.contains("thread has ended")), "{told}");
        let next =
            open((&model, "auto"), ("cpu", "auto"), None, &CancelToken::new()).expect("a session that works");
        assert_eq!(next.device(), "cpu");
    }
}
