//! Several gateways on one PostgreSQL database: the promises of one hold for all of them together.
//!
//! - `server`: their database; `fleet`: gateways that are killed and come back; `load`: who writes, follows and works through them
//! - `crash`: gateways killed in turn; `failover`: the database killed, its standby promoted
//! - `partition`: a gateway cut off from the database, also in a `network` of its own; `hints`: notifications that are lost; `clock`: a gateway an hour ahead; `names`: who is known where
mod clock;
mod crash;
mod failover;
mod fleet;
mod hints;
mod load;
mod migrate;
mod names;
mod network;
mod partition;
mod server;
