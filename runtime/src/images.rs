//! The image store as commands use it: work on it runs on threads of its own, and
//! stops when the command is interrupted.

use std::sync::Arc;
use std::time::Duration;

use lambent_images::{
    ContentStore, Digest, Form, Image, ImageName, ImageReference, Interrupt, LayerProgress,
    Platform, Progress, RegistryReference, Surveyed, registry_reference,
};

use crate::sandbox::user_namespace;
use crate::service_error::{ServiceError, with_sources};
use crate::state::StateDirectories;

/// How long a stopped command waits for its work to clean up. Longer takes only
/// what the kernel does not let us interrupt, such as syncing a slow disk; the
/// next start then removes what is left.
const CLEANUP: Duration = Duration::from_secs(2);
/// How often it looks.
const POLL: Duration = Duration::from_millis(1);

/// Something that shows progress.
pub type Display = Arc<dyn Progress + Send + Sync>;

/// The store of an installation.
#[derive(Debug)]
pub struct ImageStore {
    store: Arc<ContentStore>,
    interrupt: Interrupt,
}

/// A display with the interrupt of the store.
struct Watched {
    display: Display,
    interrupt: Interrupt,
}

impl Progress for Watched {
    fn layer(&self, digest: &Digest, state: LayerProgress) {
        self.display.layer(digest, state);
    }

    fn waiting(&self) {
        self.display.waiting();
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}

/// An image to bring into the store.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// Where it is.
    pub reference: ImageReference,
    /// What it is to be for.
    pub platform: Platform,
    /// What to call it; without one, what the reference itself calls it.
    pub name: Option<ImageName>,
}

impl ImageStore {
    /// Opens the store, or makes an empty one.
    ///
    /// # Errors
    /// The store cannot be read or written, or another version made it.
    pub fn open(directories: &StateDirectories) -> Result<Self, ServiceError> {
        let store = open_store(directories).map_err(|error| match error {
            ServiceError::Host(reason) if user_namespace::user() != 0 => {
                ServiceError::Host(format!("{reason}; run it with sudo, or name a --root"))
            }
            other => other,
        })?;
        Ok(Self {
            store: Arc::new(store),
            interrupt: Interrupt::default(),
        })
    }

    /// The store itself, for what is done at once.
    pub fn content(&self) -> &ContentStore {
        &self.store
    }

    /// Runs `work` on a thread where it may take its time.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T: Send + 'static>(
        &self,
        display: Display,
        work: impl FnOnce(&ContentStore, &dyn Progress) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let store = Arc::clone(&self.store);
        let watched = Watched {
            display,
            interrupt: self.interrupt.clone(),
        };
        let done = tokio::task::spawn_blocking(move || work(&store, &watched));
        match done.await {
            Ok(result) => result,
            Err(panic) => Err(ServiceError::Host(format!(
                "the work on the image store failed: {panic}"
            ))),
        }
    }

    /// Ends what still runs, and waits until it has cleaned up.
    pub async fn stop(&self) {
        self.interrupt.raise();
        let ended = async {
            // The threads hold the store for as long as they work.
            while Arc::strong_count(&self.store) > 1 {
                tokio::time::sleep(POLL).await;
            }
        };
        let _in_time = tokio::time::timeout(CLEANUP, ended).await;
    }
}

/// The store, with layers in the form that `LAMBENT_IMAGE_FORM` names, else in
/// the best that this host can mount.
fn open_store(directories: &StateDirectories) -> Result<ContentStore, ServiceError> {
    let store = ContentStore::open(&directories.images())?;
    match std::env::var("LAMBENT_IMAGE_FORM") {
        Ok(form) if !form.is_empty() => {
            let form = form.parse().map_err(|error: lambent_images::Error| {
                ServiceError::Host(format!("LAMBENT_IMAGE_FORM: {error}"))
            })?;
            Ok(store.with_form(form))
        }
        // Who can mount nothing can keep streams, and needs no rights for it.
        _ if user_namespace::refused().is_some() => Ok(store.with_form(Form::Erofs)),
        _ => Ok(store),
    }
}

/// Imports an image and names it.
///
/// # Errors
/// The image is unusable, or the store cannot be written.
pub fn import(
    store: &ContentStore,
    request: &ImageRequest,
    progress: &dyn Progress,
) -> Result<Image, ServiceError> {
    let image = store.import(&request.reference, &request.platform, progress)?;
    named(store, request, image)
}

/// Gives an image the name that is asked for, or that its reference implies.
fn named(
    store: &ContentStore,
    request: &ImageRequest,
    image: Image,
) -> Result<Image, ServiceError> {
    let implied = || match registry_path(&request.reference) {
        Some(reference) => ImageName::of_registry(&reference),
        None => ImageName::of(&request.reference),
    };
    if let Some(name) = request.name.clone().or_else(implied) {
        store.tag(&image.manifest_digest, &name)?;
    }
    Ok(image)
}

/// The stored image that a reference may be the name or digest of, else imports.
///
/// # Errors
/// As [`import`]; and the stored image is for another platform or incomplete.
pub fn find_or_import(
    store: &ContentStore,
    request: &ImageRequest,
    progress: &dyn Progress,
) -> Result<Image, ServiceError> {
    match find(store, request)? {
        Some(image) => Ok(image),
        None => import(store, request, progress),
    }
}

/// As [`find_or_import`], and what the store has of an image in a file is read there too:
/// it may be damaged.
///
/// # Errors
/// As [`find_or_import`]; and the file's layers are damaged.
pub fn find_or_verify_and_import(
    store: &ContentStore,
    request: &ImageRequest,
    progress: &dyn Progress,
) -> Result<Image, ServiceError> {
    if let Some(image) = find(store, request)? {
        return Ok(image);
    }
    let image = store.import_verified(&request.reference, &request.platform, progress)?;
    named(store, request, image)
}

/// The files of a stored image, or of one that is read where it is and not kept. Of an
/// image in a registry `wanted` is asked before its layers are downloaded.
///
/// # Errors
/// As [`find_or_import`].
pub fn find_or_survey(
    store: &ContentStore,
    request: &ImageRequest,
    progress: &dyn Progress,
    wanted: &dyn Fn(&Image) -> bool,
) -> Result<Surveyed, ServiceError> {
    if let Some(image) = find(store, request)? {
        let files = Some(store.files(&image)?);
        return Ok(Surveyed { image, files });
    }
    Ok(store.survey(&request.reference, &request.platform, progress, wanted)?)
}

/// The stored image that a reference names or is the digest of; none if the reference
/// says where else the image is.
fn find(store: &ContentStore, request: &ImageRequest) -> Result<Option<Image>, ServiceError> {
    let Some(text) = stored_name(&request.reference) else {
        return Ok(None);
    };
    let Some(image) = store.find(&text)? else {
        if registry_path(&request.reference).is_some() {
            return Ok(None);
        }
        return Err(ServiceError::Image(not_stored(&text)));
    };
    let platform = image.config.platform();
    if platform != request.platform {
        return Err(ServiceError::Image(format!(
            "the stored image \"{text}\" is for {}, and {} is needed",
            platform.to_string().escape_debug(),
            request.platform
        )));
    }
    Ok(Some(image))
}

fn not_stored(text: &str) -> String {
    format!(
        "there is no file or directory \"{text}\", and no image of that name in the store: \
         `lambent image ls` lists what there is, `lambent image load` adds to it"
    )
}

/// Why there is no image that [`find_or_import`] could find, as far as one look tells;
/// `None` if there may be one. Blocks for as long as a registry takes to answer.
pub fn missing(store: &ContentStore, reference: &ImageReference) -> Option<String> {
    if let Some(text) = stored_name(reference) {
        // A beginning of several digests is one of something.
        if !matches!(store.find(&text), Ok(None)) {
            return None;
        }
        if registry_path(reference).is_none() {
            return Some(not_stored(&text));
        }
    }
    lambent_images::missing(reference).map(|error| with_sources(&error))
}

/// The image in a registry that a bare `HOST/NAME` stands for, unless there is
/// such a file.
pub(crate) fn registry_path(reference: &ImageReference) -> Option<RegistryReference> {
    let ImageReference::Path { path } = reference else {
        return None;
    };
    let missing = path.symlink_metadata().is_err();
    registry_reference(path.to_str()?).filter(|_| missing)
}

/// The text of a reference that can only mean a stored image: no such path
/// exists, and it has the form of a name or digest.
fn stored_name(reference: &ImageReference) -> Option<String> {
    let ImageReference::Path { path } = reference else {
        return None;
    };
    let text = path.to_str()?;
    let is_name = text.parse::<ImageName>().is_ok() || text.parse::<Digest>().is_ok();
    let is_name = is_name || text.strip_prefix("sha256:").is_some_and(is_hex);
    (is_name && path.symlink_metadata().is_err()).then(|| text.to_owned())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
