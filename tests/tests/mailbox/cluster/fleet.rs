//! Gateways that are killed and come back elsewhere, and the way to one that is there.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use mesh_mailbox::Mailbox;
use mesh_tests::lab::binary;
use tempfile::TempDir;

use crate::program::{Program, TOKEN};

/// Gateways on one database.
pub(crate) struct Fleet {
    database: String,
    folder: TempDir,
    gateways: Vec<Option<Program>>,
    urls: Urls,
}

/// Where they can be reached now.
#[derive(Clone, Default)]
pub(crate) struct Urls(Arc<Mutex<Vec<String>>>);

impl Fleet {
    pub(crate) fn start(database: &str, count: usize) -> Fleet {
        let mut fleet = Fleet {
            database: database.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            gateways: Vec::new(),
            urls: Urls::default(),
        };
        for _ in 0..count {
            fleet.add(|_| ());
        }
        fleet
    }

    /// One more.
    pub(crate) fn add(&mut self, change: impl FnOnce(&mut Command)) {
        let gateway = Program::over(&self.database, self.folder.path(), change);
        self.join(gateway);
    }

    /// One more, in a network of its own.
    pub(crate) fn add_in(
        &mut self,
        mut command: Command,
        listen: SocketAddr,
        change: impl FnOnce(&mut Command),
    ) {
        command.arg(binary());
        Program::over_at(&mut command, &self.database, self.folder.path(), listen);
        change(&mut command);
        self.join(Program::launch(command));
    }

    fn join(&mut self, gateway: Program) {
        self.urls.0.lock().unwrap().push(gateway.url.clone());
        self.gateways.push(Some(gateway));
    }

    /// Kills one and starts another in its place. Who knew its address finds nobody there.
    pub(crate) fn replace(&mut self, number: usize) {
        if let Some(gateway) = self.gateways[number].take() {
            gateway.kill();
        }
        let gateway = Program::over(&self.database, self.folder.path(), |_| ());
        self.urls.0.lock().unwrap()[number] = gateway.url.clone();
        self.gateways[number] = Some(gateway);
    }

    pub(crate) fn urls(&self) -> Urls {
        self.urls.clone()
    }

    pub(crate) fn mailbox(&self, number: usize, node: &str) -> Mailbox {
        self.urls.mailbox(number, node)
    }

    /// The same for one who waits until the gateway gives up.
    pub(crate) fn patient_mailbox(&self, number: usize, node: &str) -> Mailbox {
        let url = self.urls.0.lock().unwrap()[number].clone();
        let mailbox = Mailbox::builder(node).gateway_url(url).token(TOKEN);
        mailbox.timeout(std::time::Duration::from_secs(60)).build().unwrap()
    }
}

impl Urls {
    /// The mailbox of a node at one of the gateways; numbers go round.
    pub(crate) fn mailbox(&self, number: usize, node: &str) -> Mailbox {
        let urls = self.0.lock().unwrap();
        Mailbox::builder(node).gateway_url(&urls[number % urls.len()]).token(TOKEN).build().unwrap()
    }
}
