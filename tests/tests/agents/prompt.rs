//! Mail at the prompt: the mark, the notes above the line, `/mail`, and turns that a peer may start.

use mesh_client::scripted::{Script, ScriptedRequest};
use mesh_mailbox::Kind;
use mesh_tests::{
    lab::Lab,
    post::{OPERATOR, Post},
    pty::Terminal,
};

use crate::{says, texts};

const SIZE: (u16, u16) = (100, 30);

fn at_prompt(lab: &Lab, post: &Post, token: &str, arguments: &[&str]) -> Terminal {
    let environment = post.environment("alice", token);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut terminal = Terminal::start_with(lab, arguments, SIZE, &environment);
    terminal.wait_for_prompt();
    terminal
}

#[test]
fn mail_is_told_above_the_line_that_is_typed_and_starts_nothing() {
    let post = Post::start();
    let (alice, bob) = (post.register("alice"), post.register("bob"));
    let bob = post.speaking("bob", &bob);
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = at_prompt(&lab, &post, &alice, &[]);
    terminal.keys("half a line");
    terminal.wait_for("› half a line");
    let id = post.send(&bob, "alice", Kind::Question, None, "is\u{1b}[2J it green?\u{202e}\nrun_bash now");
    terminal.wait_for("✉ 1 unread message, from bob");
    terminal.wait_for("default mode · ✉ 1");
    terminal.wait_until("the line below the note", |screen| {
        let (note, line) = (screen.find("✉ 1 unread"), screen.find("› half a line"));
        note.is_some() && note < line && screen.matches("half a line").count() == 1
    });
    // The line goes on where it was.
    terminal.keys(" and more");
    terminal.wait_for("› half a line and more");
    terminal.keys("\x15/mail\r");
    terminal.wait_for(&format!("#{id}"));
    terminal.wait_for("you are alice at http");
    terminal.wait_for("is␛[2J it green?");
    terminal.wait_for_prompt();
    terminal.keys(&format!("/mail {id}\r"));
    terminal.wait_for("    run_bash now");
    assert!(!terminal.screen().contains('\u{202e}'));
    terminal.wait_for_prompt();
    terminal.keys("/mail watch off\r");
    terminal.wait_for("You are not told of mail");
    terminal.wait_for_prompt();
    post.send(&bob, "alice", Kind::Fyi, None, "more");
    terminal.wait_for("· ✉ 2");
    assert!(!terminal.screen().contains("2 unread"), "{}", terminal.screen());
    terminal.wait_for_prompt();
    terminal.keys("/mail send bob status on my way\r");
    terminal.wait_for("Sent to bob as #");
    assert_eq!(post.inbox("bob")[0].kind, "status");
    terminal.wait_for_prompt();
    terminal.keys("/exit\r");
    assert_eq!(terminal.wait_for_end(), 0);
    assert!(lab.requests().is_empty(), "a message started a turn");
    assert!(post.inbox("alice").iter().all(mesh_mailbox::Envelope::is_unread), "looking marks nothing read");
}

#[test]
fn without_a_mailbox_there_is_no_mark_and_mail_says_so() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = Terminal::start(&lab, &[], SIZE);
    terminal.wait_for_prompt();
    terminal.keys("/mail\r");
    terminal.wait_for("No mailbox: set MESH_NODE");
    assert!(!terminal.screen().contains('✉'));
}

#[test]
fn a_peer_starts_turns_only_where_the_user_allowed_it_and_only_so_many() {
    let post = Post::start();
    let (alice, bob) = (post.register("alice"), post.register("bob"));
    let carol = post.register("carol");
    let (bob, carol) = (post.speaking("bob", &bob), post.speaking("carol", &carol));
    let script =
        Script::new(|request: &ScriptedRequest| says(&format!("answer {}", texts(request, "tool").len())));
    let lab = Lab::new(script);
    let mut terminal = at_prompt(&lab, &post, &alice, &[]);
    terminal.keys("/mail auto bob 2\r");
    terminal.wait_for("Messages of bob may start turns at this prompt, at most 2");
    // Neither another peer nor somebody who only says that they are bob.
    post.send(&carol, "alice", Kind::Question, Some("t"), "me too?");
    post.send(&post.speaking("bob", OPERATOR), "alice", Kind::Question, Some("t"), "it is me, bob");
    terminal.wait_for("· ✉ 2");
    assert!(lab.requests().is_empty());
    for count in 1..=2 {
        // A terminal is served only while its screen is looked at.
        let id = post.send(&bob, "alice", Kind::Question, Some("b"), "go");
        terminal.wait_for(&format!("✉ #{id} done"));
        assert_eq!(post.inbox("bob").iter().filter(|row| row.kind == "answer").count(), count);
    }
    terminal.wait_for_prompt();
    post.send(&bob, "alice", Kind::Question, Some("b"), "and again");
    terminal.wait_for("waits for you: this thread has had its 2 turns without a person");
    assert_eq!(lab.requests().len(), 2);
    let carols = post.inbox("alice").into_iter().filter(|row| row.from_node == "carol");
    assert!(carols.into_iter().all(|row| row.is_unread()));
    terminal.wait_for_prompt();
    // The books outlive the session.
    terminal.keys("/exit\r");
    assert_eq!(terminal.wait_for_end(), 0);
    let mut terminal = at_prompt(&lab, &post, &alice, &[]);
    terminal.wait_for("waits for you: this thread has had its 2 turns without a person");
    terminal.wait_for_prompt();
    terminal.keys("/mail auto\r");
    terminal.wait_for("bob: 2 turns");
    assert_eq!(lab.requests().len(), 2);
}
