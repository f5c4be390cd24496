//! A gateway for one test, and a plain HTTP client that follows nothing and hides nothing.

use std::path::PathBuf;
use std::time::Duration;

use mesh_client::http::{Body, HttpClient, Request};
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite};
use mesh_mailbox::gateway::{Gateway, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const OPERATOR: &str = "operator-token-0123456789";

pub(crate) struct Lab {
    folder: TempDir,
    pub(crate) url: String,
    http: HttpClient,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The contents of its messages.
    pub(crate) fn contents(&self) -> Vec<String> {
        let answer = self.json();
        let rows = answer["messages"].as_array().unwrap_or_else(|| panic!("{answer}"));
        rows.iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect()
    }
}

impl Lab {
    pub(crate) async fn new() -> Lab {
        Lab::with(|_| ()).await
    }

    /// A gateway with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Lab {
            folder,
            url: String::new(),
            http: HttpClient::builder().build(),
            stop: None,
            serving: None,
        };
        lab.start(change).await;
        lab
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("mesh.db")
    }

    pub(crate) async fn start(&mut self, change: impl FnOnce(&mut Options)) {
        let mut options = Options::new(OPERATOR);
        change(&mut options);
        let store = Sqlite::open(Place::new(self.database())).unwrap();
        let gateway = Gateway::new(store, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.serving = Some(tokio::spawn(gateway.serve(listener, async {
            let _ = stopped.await;
        })));
    }

    /// Tells the gateway to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        self.serving.take().unwrap().await.unwrap().unwrap();
    }

    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let answer = self.http.send(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let text = String::from_utf8(body.collect(1 << 26).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers, text }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.raw("GET", path, token, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.raw("POST", path, token, &[], body.to_string().as_bytes()).await
    }

    /// Registers a name and returns its token.
    pub(crate) async fn peer(&self, name: &str) -> String {
        let answer = self.post("/peers/register", OPERATOR, &json!({ "name": name })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["peer_token"].as_str().unwrap().to_owned()
    }

    /// Sends a message and returns its id.
    pub(crate) async fn send(&self, token: &str, from: &str, to: &str, content: &str) -> i64 {
        let answer = self.post("/messages", token, &message(from, to, content)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["id"].as_i64().unwrap()
    }
}

pub(crate) fn message(from: &str, to: &str, content: &str) -> Value {
    json!({"from_node": from, "to_node": to, "kind": "fyi", "content": content})
}

/// Waits for something that has to come soon.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it came too late")
}
