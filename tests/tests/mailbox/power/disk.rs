//! A disk that notes what is written to it and when it is synced: a layer over SQLite's own way to files.
#![expect(unsafe_code, reason = "SQLite asks for a file system by an interface of C")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};

use rusqlite::ffi::{
    SQLITE_FULL, SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

/// The name under which SQLite knows this layer.
pub(super) const NAME: &str = "recording";

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Bytes were written.
    Write { file: String, at: usize, bytes: Vec<u8> },
    /// A file was cut.
    Truncate { file: String, length: usize },
    /// All that was written to a file is on the disk.
    Sync { file: String },
    /// The store answered a batch.
    Acknowledged(Vec<String>),
}

/// Files whose name begins like this are not noted: their disk can be full.
pub(super) const TIGHT: &str = "tight";

/// Nothing more can be written to such files.
pub(super) static IS_FULL: AtomicBool = AtomicBool::new(false);

static NOTES: Mutex<Vec<Event>> = Mutex::new(Vec::new());

/// Notes something.
pub(super) fn note(event: Event) {
    NOTES.lock().unwrap().push(event);
}

/// Takes the notes.
pub(super) fn notes() -> Vec<Event> {
    std::mem::take(&mut NOTES.lock().unwrap())
}

/// An open file: our part, then SQLite's own in the memory behind it.
#[repr(C)]
struct Layer {
    methods: *const sqlite3_io_methods,
    /// Its name, where it is noted.
    name: *mut String,
}

/// Makes the layer known to SQLite.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite's default is there for ever, and so is what we register: it is leaked.
        unsafe {
            let default = sqlite3_vfs_find(ptr::null());
            let mut layer = ptr::read(default);
            layer.szOsFile += c_int::try_from(size_of::<Layer>()).unwrap();
            layer.zName = c"recording".as_ptr();
            layer.pNext = ptr::null_mut();
            layer.xOpen = Some(open);
            let result = sqlite3_vfs_register(Box::leak(Box::new(layer)), 0);
            assert_eq!(result, SQLITE_OK);
        }
    });
}

/// SQLite's own file behind ours.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite gave us `szOsFile` bytes, which is our part and its own.
    unsafe { file.cast::<Layer>().add(1).cast() }
}

/// SQLite's own functions for it.
unsafe fn own<'m>(file: *mut sqlite3_file) -> &'m sqlite3_io_methods {
    // SAFETY: only files whose opening succeeded have our functions, and those have SQLite's own behind them.
    unsafe { &*(*inner(file)).pMethods }
}

/// The name of a file that is noted.
unsafe fn name(file: *mut sqlite3_file) -> Option<String> {
    // SAFETY: the name is ours from opening to closing.
    unsafe { (*file.cast::<Layer>()).name.as_ref().cloned() }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own function gets what SQLite gave us, with its own file system and its own part of the file.
    unsafe {
        let layer = file.cast::<Layer>();
        (*layer).methods = ptr::null();
        (*layer).name = ptr::null_mut();
        let default = sqlite3_vfs_find(ptr::null());
        let Some(open) = (*default).xOpen else { return 1 };
        let result = open(default, path, inner(file), flags, out);
        if !(*inner(file)).pMethods.is_null() {
            (*layer).methods = &raw const METHODS;
        }
        if result == SQLITE_OK && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL) != 0 && !path.is_null() {
            let path = CStr::from_ptr(path).to_string_lossy();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (*layer).name = Box::into_raw(Box::new(name));
        }
        result
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the name was made by `open` and is given back once.
    unsafe {
        let layer = file.cast::<Layer>();
        if !(*layer).name.is_null() {
            drop(Box::from_raw((*layer).name));
            (*layer).name = ptr::null_mut();
        }
        own(file).xClose.map_or(1, |close| close(inner(file)))
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite says how many bytes there are.
    unsafe {
        let name = name(file);
        if name.as_ref().is_some_and(|name| name.starts_with(TIGHT)) {
            if IS_FULL.load(Ordering::SeqCst) {
                return SQLITE_FULL;
            }
        } else if let Some(name) = name {
            let length = usize::try_from(length).unwrap_or(0);
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
            note(Event::Write { file: name, at: usize::try_from(at).unwrap_or(0), bytes });
        }
        own(file).xWrite.map_or(1, |write| write(inner(file), bytes, length, at))
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    // SAFETY: as SQLite calls us, we call its own.
    unsafe {
        if let Some(name) = name(file).filter(|name| !name.starts_with(TIGHT)) {
            note(Event::Truncate { file: name, length: usize::try_from(length).unwrap_or(0) });
        }
        own(file).xTruncate.map_or(1, |truncate| truncate(inner(file), length))
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as SQLite calls us, we call its own.
    unsafe {
        let result = own(file).xSync.map_or(1, |sync| sync(inner(file), flags));
        if let Some(name) = name(file).filter(|name| result == SQLITE_OK && !name.starts_with(TIGHT)) {
            note(Event::Sync { file: name });
        }
        result
    }
}

/// A function that only passes on.
macro_rules! pass {
    ($name:ident, $method:ident, ($($argument:ident: $type:ty),*) -> $result:ty, $missing:expr) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> $result {
            // SAFETY: as SQLite calls us, we call its own.
            unsafe { own(file).$method.map_or($missing, |method| method(inner(file), $($argument),*)) }
        }
    };
}

pass!(read, xRead, (bytes: *mut c_void, length: c_int, at: sqlite3_int64) -> c_int, 1);
pass!(size, xFileSize, (size: *mut sqlite3_int64) -> c_int, 1);
pass!(lock, xLock, (level: c_int) -> c_int, 1);
pass!(unlock, xUnlock, (level: c_int) -> c_int, 1);
pass!(reserved, xCheckReservedLock, (is_held: *mut c_int) -> c_int, 1);
pass!(control, xFileControl, (what: c_int, value: *mut c_void) -> c_int, 12);
pass!(sector, xSectorSize, () -> c_int, 4096);
pass!(character, xDeviceCharacteristics, () -> c_int, 0);
pass!(shm_map, xShmMap, (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int, 1);
pass!(shm_lock, xShmLock, (offset: c_int, count: c_int, flags: c_int) -> c_int, 1);
pass!(shm_barrier, xShmBarrier, () -> (), ());
pass!(shm_unmap, xShmUnmap, (is_delete: c_int) -> c_int, 1);
pass!(fetch, xFetch, (at: sqlite3_int64, length: c_int, out: *mut *mut c_void) -> c_int, 1);
pass!(unfetch, xUnfetch, (at: sqlite3_int64, bytes: *mut c_void) -> c_int, 1);

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(character),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
