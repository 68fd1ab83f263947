//! Files and folders of the host: made whole, kept from others, and used by one process at a time.

mod lock;
mod private;
mod whole;

pub use lock::{FolderLock, LockError};
pub use private::{NotPrivate, Peeking, check_folder, check_key_file, make_folder};
pub use whole::{Access, create, replace, sync_parent};
