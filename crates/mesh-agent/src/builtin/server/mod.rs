//! Servers that run beside the turn.
//!
//! - `ports`: pure: which port a command names, and which one it gets
//! - `output`: the last lines that a server printed, read for as long as it lives
//! - `forward`: a port of this machine leads to a server in the sandbox
//! - `launch`: from spawn to the first answer on the port
//! - `record`: what is written down about running servers, for the next run
//! - `registry`: the servers of this session, and their end
#[cfg(unix)]
mod forward;
pub(super) mod launch;
mod output;
pub(super) mod ports;
mod record;
mod registry;

pub use ports::{FIRST_AUTO_PORT, PortInCommand, port_in_command};
pub use record::{RecordFile, ServerRecord};
pub use registry::{RunningServer, Servers};
