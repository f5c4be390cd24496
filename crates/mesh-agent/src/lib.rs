//! Runs a turn: prompt, model, tool calls, results, until the model is done or a guard says stop.
//!
//! - [`turn`]: the turn as a pure state machine, inputs in, effects out; `history`, `plan` and `notes` are its parts
//! - [`record`]: the seam through which every input and effect passes before it takes hold
//! - [`tool`]: the seam between the turn and what it can do; [`builtin`]: the tools, one file each
//! - [`event`], [`approval`]: who watches and who is asked
//! - [`cost`]: tokens to money, billed and estimated kept apart
//! - `screen`: what passes between tools and model: credentials stay here, text from outside is marked
//! - [`mail`]: the seam to a mailbox, and what a turn may be told of it
//! - [`web`]: what may be read of the web, from the addresses that were judged
//! - [`saver`]: the seam to what makes requests cheaper; [`recall`]: what was cut, read again
mod agent;
pub mod approval;
pub mod builtin;
pub mod cost;
mod error;
pub mod event;
pub mod history;
mod interrupt;
pub mod mail;
mod mode;
mod model;
mod notes;
mod permit;
pub mod plan;
mod price_list;
mod prices;
mod process;
pub mod prompt;
pub mod recall;
pub mod record;
pub mod saver;
mod screen;
mod settings;
pub mod tool;
pub mod turn;
pub mod web;
mod widening;

pub use agent::{Agent, AgentParts, BUDGET, Budget, Conversation, Hands};
pub use approval::{Approval, ApprovalRequest, Approver, Nobody, WideningAnswer, WideningRequest};
pub use cost::{Ledger, Prices, Spend};
pub use error::AgentError;
pub use event::{CallOutcome, Event, Listener, TurnReport};
pub use interrupt::Interrupt;
pub use mail::Mailroom;
pub use mode::SharedMode;
pub use model::{AnswerFuture, GatewayModel, Model, ReplyFuture, Sink};
pub use permit::{Decided, LastDecision, SharedRules};
pub use prices::GatewayPrices;
pub use process::adopt_orphans;
pub use record::{Record, Recorder};
pub use saver::{Outgoing, Receipt, Saver, Saving, Savings};
pub use settings::{OptimizeAt, Settings, SharedSettings};
pub use tool::{Tool, ToolContext, ToolOutput, ToolSet};
pub use turn::{Effect, Failure, Input, Session, TurnEnd};
