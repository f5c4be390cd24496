//! A network of the test's own: a namespace in which a gateway runs, with one line to the database and one to its clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

/// Its addresses: `FAR` is inside, `NEAR` is ours. From a block that is for tests of networks (RFC 2544).
const DATABASE: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 77, 1), Ipv4Addr::new(198, 18, 77, 2)];
const CLIENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 78, 1), Ipv4Addr::new(198, 18, 78, 2)];

/// The network; it is taken away with this.
pub(crate) struct Network {
    name: String,
}

impl Network {
    /// Makes it; none where that is refused.
    pub(crate) fn new() -> Option<Network> {
        let network = Network { name: format!("mesh{}", std::process::id()) };
        let (name, line) = (&network.name, network.line());
        let is_made = ip(&format!("netns add {name}"))
            && ip(&format!("link add {line}d type veth peer name db netns {name}"))
            && ip(&format!("link add {line}c type veth peer name clients netns {name}"))
            && ip(&format!("addr add {}/30 dev {line}d", DATABASE[0]))
            && ip(&format!("addr add {}/30 dev {line}c", CLIENTS[0]))
            && ip(&format!("-n {name} addr add {}/30 dev db", DATABASE[1]))
            && ip(&format!("-n {name} addr add {}/30 dev clients", CLIENTS[1]))
            && ["db", "clients", "lo"].iter().all(|link| ip(&format!("-n {name} link set {link} up")))
            && ["d", "c"].iter().all(|end| ip(&format!("link set {line}{end} up")));
        is_made.then_some(network)
    }

    /// The short name that its lines begin with: 15 characters are the most that a line's name may have.
    fn line(&self) -> &str {
        &self.name
    }

    /// Where somebody of ours can listen for the gateway.
    pub(crate) fn near(&self) -> SocketAddr {
        (DATABASE[0], 0).into()
    }

    /// Where the gateway can listen for clients.
    pub(crate) fn far(&self) -> SocketAddr {
        (CLIENTS[1], 0).into()
    }

    /// Begins a command that runs inside.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command
    }

    /// Cuts the line to the database, or joins it again.
    pub(crate) fn cut(&self, is_cut: bool) {
        let state = if is_cut { "down" } else { "up" };
        assert!(ip(&format!("link set {}d {state}", self.line())));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for end in ["d", "c"] {
            ip(&format!("link del {}{end}", self.line()));
        }
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(words: &str) -> bool {
    let done = Command::new("ip").args(words.split(' ')).output();
    done.is_ok_and(|done| done.status.success())
}
