//! The built-in tools, one file each.
mod ask_user;
mod edit;
mod edit_file;
mod files;
mod glob;
mod grep;
mod list;
mod mail;
mod near;
mod notes;
mod read_file;
mod read_page;
mod run_bash;
mod server;
mod start_server;
mod walk;
mod web_search;
mod write_file;

pub use ask_user::{Answer, AnswersFuture, AskUser, Asker, Choice, Question};
pub use edit_file::EditFile;
pub use glob::Glob;
pub use grep::Grep;
pub use list::ListDir;
pub use mail::{CHECK_INBOX, reading};
pub(crate) use read_file::read_text;
pub use read_file::{READ_CHARS, ReadFile};
pub use read_page::Reader;
pub use run_bash::RunBash;
pub use server::{
    FIRST_AUTO_PORT, PortInCommand, RecordFile, RunningServer, ServerRecord, Servers, port_in_command,
};
pub use start_server::StartServer;
pub use web_search::{SearchError, SearchFuture, SearchHit, WebSearch, WebSearchTool};
pub use write_file::WriteFile;

use std::sync::Arc;

use crate::{
    mail::Mailroom,
    plan::{CREATE_PLAN, UPDATE_STEP},
    tool::{ToolSet, ToolSetError},
    web::Web,
};

/// All built-in tools, the plan's among them; the one that asks the user only where somebody can.
///
/// # Errors
/// Never for these tools; a test sees to it.
pub fn standard(
    servers: Servers,
    searcher: Arc<dyn WebSearch>,
    web: Web,
    asker: Option<Arc<dyn Asker>>,
) -> Result<ToolSet, ToolSetError> {
    with_mail(servers, searcher, web, asker, None)
}

/// The same, and those of a mailbox where there is one. They stand last, so that the others are the same bytes without it.
///
/// # Errors
/// Never for these tools; a test sees to it.
pub fn with_mail(
    servers: Servers,
    searcher: Arc<dyn WebSearch>,
    web: Web,
    asker: Option<Arc<dyn Asker>>,
    mail: Option<&Arc<dyn Mailroom>>,
) -> Result<ToolSet, ToolSetError> {
    let tools = ToolSet::builder()
        .tool(Reader::new(web))
        .tool(WriteFile)
        .tool(RunBash::default())
        .spec(CREATE_PLAN)
        .tool(StartServer::new(servers))
        .spec(UPDATE_STEP)
        .tool(EditFile)
        .tool(Grep)
        .tool(Glob)
        .tool(ListDir)
        .tool(WebSearchTool::new(searcher));
    let tools = match asker {
        Some(asker) => tools.tool(AskUser::new(asker)),
        None => tools,
    };
    match mail {
        Some(mail) => mail::add(tools, mail),
        None => tools,
    }
    .build()
}
