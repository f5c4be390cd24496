//! Journeys in the sandbox: what a session's commands and servers can and cannot do, and how it is turned off.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mesh_client::scripted::{Reply, Script, ScriptedRequest};
use mesh_tests::lab::{KEY, Lab, binary, free_port};
use serde_json::{Value, json};

fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(10, 3).cost("0.001").done()
}

fn calls(name: &str, arguments: &Value) -> Reply {
    Reply::stream().tool_call("call_1", name, &arguments.to_string(), 7).usage(10, 3).cost("0.001").done()
}

fn bash(command: &str) -> Reply {
    calls("run_bash", &json!({"command": command}))
}

/// The tool results of a request, in order.
fn results(request: &ScriptedRequest) -> Vec<String> {
    let messages = request.json["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|m| m["role"] == "tool")
        .map(|m| m["content"].as_str().unwrap().to_owned())
        .collect()
}

/// A server in a file of the project, for one answer after the other.
const SERVER: &str = r#"use IO::Socket::INET;
$s = IO::Socket::INET->new(Listen=>9, LocalAddr=>"127.0.0.1", LocalPort=>$ENV{PORT}, ReuseAddr=>1) or die;
while ($c = $s->accept) { sysread $c, $_, 999; print $c "HTTP/1.0 200 OK\r\n\r\nserved here"; close $c }
"#;

/// Asks it.
const CLIENT: &str = r#"use IO::Socket::INET;
$c = IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or die; print $c "x\n"; print <$c>;
"#;

#[test]
fn a_command_writes_in_its_folder_and_sees_no_key() {
    let lab = Lab::new(Script::in_order([bash("sh first.sh"), bash("sh second.sh"), says("done")]));
    // In files: what is asked about a command's text is another matter.
    let first = "echo hi >made; cat \"$HOME/.ssh/id_ed25519\"; echo x >\"$HOME/dropped\"; echo t >/tmp/kept";
    std::fs::write(lab.work().join("first.sh"), format!("{first}; true")).unwrap();
    std::fs::write(lab.work().join("second.sh"), "cat /tmp/kept; mkdir .vscode").unwrap();
    std::fs::create_dir_all(lab.home().join(".ssh")).unwrap();
    std::fs::write(lab.home().join(".ssh/id_ed25519"), "TOPSECRET").unwrap();
    let run = lab.run(&["-p", "go", "--mode", "bypass"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let results = results(&lab.requests()[2]);
    assert!(!results[0].contains("TOPSECRET") && results[0].ends_with("[exit 0]"), "{results:?}");
    // One /tmp for all commands of the session, and none of ours.
    assert!(results[1].starts_with("t\n") && results[1].ends_with("[exit 1]"), "{results:?}");
    assert_eq!(std::fs::read_to_string(lab.work().join("made")).unwrap(), "hi\n");
    assert!(!lab.home().join("dropped").exists() && !lab.work().join(".vscode").exists());
}

#[test]
fn only_the_user_turns_it_off() {
    let lab = Lab::new(Script::in_order([bash("sh read.sh"), says("done")]));
    std::fs::write(lab.home().join("key"), "TOPSECRET").unwrap();
    std::fs::write(lab.work().join("read.sh"), "cat \"$HOME/key\"").unwrap();
    let run = lab.run(&["-p", "go", "--mode", "bypass", "--no-sandbox"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(results(&lab.requests()[1])[0].contains("TOPSECRET"));
}

#[test]
fn what_a_command_left_for_git_to_run_is_put_aside_and_told() {
    let plant = "git init -q sub && git -C sub config core.fsmonitor 'touch /tmp/x'";
    let lab = Lab::new(Script::in_order([bash("sh plant.sh"), says("done")]));
    std::fs::write(lab.work().join("plant.sh"), plant).unwrap();
    let run = lab.run(&["-p", "go", "--mode", "bypass"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let told = &results(&lab.requests()[1])[0];
    assert!(told.contains("[sandbox: ") && told.contains("core.fsmonitor"), "{told}");
    let config = std::fs::read_to_string(lab.work().join("sub/.git/config")).unwrap();
    assert!(config.contains("repositoryformatversion") && !config.contains("fsmonitor"), "{config}");
}

#[test]
fn what_the_sandbox_refused_is_told() {
    let ask = "($h)=$ENV{http_proxy}=~m{//(.*)}; use IO::Socket::INET; $c=IO::Socket::INET->new($h) or die; print $c \"GET http://example.org/ HTTP/1.1\\r\\n\\r\\n\"; print <$c>";
    let lab = Lab::new(Script::in_order([bash("sh write.sh"), bash("perl ask.pl"), says("done")]));
    std::fs::write(lab.work().join("write.sh"), "echo x >/usr/x").unwrap();
    std::fs::write(lab.work().join("ask.pl"), ask).unwrap();
    lab.run(&["-p", "go", "--mode", "bypass"]);
    let results = results(&lab.requests()[2]);
    assert!(results[0].contains("[sandbox: /usr/x: commands write in the working folder"), "{results:?}");
    assert!(results[1].contains("[sandbox: the network was refused: example.org:80"), "{results:?}");
}

#[test]
fn a_program_hears_by_which_rule_a_command_failed() {
    let lab = Lab::new(Script::in_order([bash("sh read.sh"), says("done")]));
    std::fs::write(lab.home().join("letter"), "x").unwrap();
    let letter = lab.home().canonicalize().unwrap().join("letter").display().to_string();
    std::fs::write(lab.work().join("read.sh"), format!("cat {letter}; mkdir .vscode")).unwrap();
    let run = lab.run(&["-p", "go", "--mode", "bypass", "--output-format", "stream-json", "--verbose"]);
    let events = run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results = events.into_iter().find(|event| event["type"] == "user").unwrap();
    let held = &results["mesh"]["sandbox_denials"]["call_1"];
    let rules: Vec<&str> = held.as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["unseen", "protected"], "{held}");
    assert_eq!(held[0]["subject"], json!(letter));
    let text = lab.run(&["-p", "go", "--mode", "bypass"]).err;
    assert!(text.is_empty() || !text.contains("run it again"), "{text}");
}

#[test]
fn a_background_process_ends_with_its_command() {
    let lab = Lab::new(Script::in_order([bash("sleep 600 >/dev/null 2>&1 & echo started"), says("done")]));
    lab.run(&["-p", "go", "--mode", "bypass"]);
    assert!(results(&lab.requests()[1])[0].contains("background processes were killed"));
}

/// What somebody on this machine gets from a port.
fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn a_server_is_reached_from_here_and_from_other_commands() {
    let port = free_port();
    let lab = Lab::new(Script::in_order([
        calls("start_server", &json!({"command": "perl serve.pl", "port": port})),
        bash(&format!("perl ask.pl {port}")),
        // Long enough for us to ask meanwhile.
        bash("while ! test -e asked; do sleep 0.05; done"),
        says("done"),
    ]));
    let work = lab.work();
    std::fs::write(work.join("serve.pl"), SERVER).unwrap();
    std::fs::write(work.join("ask.pl"), CLIENT).unwrap();
    let asking = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut got = None;
        while got.is_none() && Instant::now() < deadline {
            got = get(port).filter(|text| !text.is_empty());
            std::thread::sleep(Duration::from_millis(50));
        }
        std::fs::write(work.join("asked"), "").unwrap();
        got
    });
    let run = lab.run(&["-p", "go", "--mode", "bypass"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let results = results(&lab.requests()[3]);
    assert!(results[0].starts_with(&format!("Server ready at http://localhost:{port}")), "{results:?}");
    assert!(results[1].contains("served here"), "{results:?}");
    assert!(asking.join().unwrap().is_some_and(|text| text.ends_with("served here")));
    assert!(get(port).is_none(), "it ends with the session");
}

/// `meshapi sandbox` in a folder of its own.
fn confined(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("sandbox").args(arguments).current_dir(lab.work()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", lab.home());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_script_gets_the_exit_code_the_pipes_and_the_reasons() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let run = |arguments: &[&str]| {
        let output = confined(&lab, arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["--", "sh", "-c", "echo out; exit 7"]), (Some(7), "out\n".into(), String::new()));
    assert_eq!(run(&["--", "sh", "-c", "kill -9 $$"]).0, Some(137));
    let (code, _, error) = run(&["--", "no-such-program"]);
    assert_eq!((code, error.as_str()), (Some(127), "meshapi sandbox: `no-such-program` is not there\n"));
    let (code, _, error) = run(&["--json", "--", "true"]);
    let told: Value = serde_json::from_str(&error).unwrap();
    assert_eq!((code, &told["level"], &told["end"]["exited"]), (Some(0), &json!("full"), &json!(0)));
    let (code, _, error) = run(&["--write", "/", "--", "true"]);
    assert_eq!(code, Some(125));
    assert!(error.contains("would confine nothing"), "{error}");
    assert_eq!(run(&["--write", "absent", "--", "true"]).0, Some(125));
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().to_str().unwrap();
    let script = format!("echo x >{folder}/made; echo x >made");
    let (code, _, _) = run(&["--write", folder, "--", "sh", "-c", &script]);
    assert_ne!(code, Some(0));
    assert!(other.path().join("made").exists() && !lab.work().join("made").exists());
    let mut piped = confined(&lab, &["--", "cat"]);
    let mut child = piped.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
}

#[test]
fn signals_reach_the_command_as_if_nobody_stood_between() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let asked = ["-E", "SigBlk|SigIgn", "/proc/self/status"];
    let held = confined(&lab, &[&["--", "grep"][..], &asked].concat()).output().unwrap();
    // Who starts the tests may have signals ignored: a command has what one without us would have.
    let bare = std::process::Command::new("grep").args(asked).output().unwrap();
    let set = |text: &[u8]| -> Vec<u64> {
        let lines = String::from_utf8_lossy(text).into_owned();
        // Of the higher ones the C library keeps two to itself.
        let bits =
            |line: &str| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap() & 0x7fff_ffff;
        lines.lines().map(bits).collect()
    };
    assert_eq!(set(&held.stdout), set(&bare.stdout));
    assert_eq!(set(&held.stdout).len(), 2);
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10), ("ALRM", 14)] {
        let mut child = confined(&lab, &["--", "sh", "-c", "echo ready; exec sleep 600"]).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
    }
}

#[test]
fn listed_hosts_are_reached_and_no_other() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom the host");
        }
    });
    let ask = |at: &str| {
        format!(
            "perl -MIO::Socket::INET -e '($h)=$ENV{{http_proxy}}=~m{{//(.*)}}; $c=IO::Socket::INET->new($h) or die; print $c \"GET http://{at}/ HTTP/1.1\\r\\n\\r\\n\"; print <$c>'"
        )
    };
    let listed = format!("127.0.0.1:{port}");
    let said = |arguments: &[&str]| {
        let output = confined(&lab, arguments).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(said(&["--allow-net", &listed, "--", "sh", "-c", &ask(&listed)]).contains("from the host"));
    let refused = said(&["--allow-net", "example.org", "--", "sh", "-c", &ask(&listed)]);
    assert!(
        refused.contains("403") && refused.contains(&format!("the network was refused: {listed}")),
        "{refused}"
    );
    assert!(!said(&["--", "sh", "-c", &ask(&listed)]).contains("from the host"));
    assert!(said(&["--allow-net", "*", "--", "true"]).contains("`*` is no host"));
}

#[test]
fn a_hundred_commands_at_once_leave_nothing() {
    let lab = Lab::new(Script::in_order([says("never")]));
    std::fs::create_dir(lab.work().join(".git")).unwrap();
    let children: Vec<_> = (0..100)
        .map(|number| {
            confined(&lab, &["--", "sh", "-c", &format!("mkdir .vscode; echo {number} >f{number}")])
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut left: Vec<_> = std::fs::read_dir(lab.work())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.retain(|name| !name.starts_with('f'));
    assert_eq!(left, [".git"]);
    assert_eq!(std::fs::read_dir(lab.work().join(".git")).unwrap().count(), 0);
}

/// The same command where no namespace can be made.
fn without_namespaces(command: &Command) -> Command {
    // In a user namespace of its own, a process may forbid itself any further one.
    let mut without = Command::new("unshare");
    without.args(["-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"", "sh"]);
    without.arg(command.get_program()).args(command.get_args()).env_clear().stdin(Stdio::null());
    without.current_dir(command.get_current_dir().unwrap());
    without.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    without
}

#[test]
fn a_script_hears_what_level_it_got_and_may_ask_for_the_full_one() {
    let lab = Lab::new(Script::in_order([says("never")]));
    std::fs::write(lab.home().join("key"), "TOPSECRET").unwrap();
    let key = lab.home().join("key").display().to_string();
    let run = |arguments: &[&str]| {
        let output = without_namespaces(&confined(&lab, arguments)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, error) = run(&["--", "sh", "-c", &format!("cat {key}; echo x >made; exit 3")]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("meshapi sandbox: confined at level no-mounts only: "), "{error}");
    assert!(!out.contains("TOPSECRET") && lab.work().join("made").exists());
    let (_, _, error) = run(&["--json", "--", "true"]);
    let told: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    assert_eq!(told["level"], json!("no-mounts"), "{error}");
    let (code, _, error) = run(&["--level", "full", "--", "sh", "-c", "echo x >never"]);
    assert_eq!(code, Some(125), "{error}");
    assert!(!lab.work().join("never").exists());
    // What is wrong with the folder is no matter of the machine.
    assert_eq!(run(&["--write", "/", "--", "true"]).0, Some(125));
}

#[test]
fn without_namespaces_the_level_drops_visibly() {
    let lab = Lab::new(Script::in_order([bash("sh try.sh"), says("done")]));
    std::fs::write(lab.home().join("key"), "TOPSECRET").unwrap();
    let attempt = "echo hi >made; cat \"$HOME/../home/key\" key 2>/dev/null; ls .. >/dev/null && echo seen; echo x >.envrc; true";
    std::fs::write(lab.work().join("try.sh"), attempt).unwrap();
    let output = without_namespaces(&lab.command(&["-p", "go", "--mode", "bypass"])).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("commands are confined at level no-mounts only"), "{error}");
    let told = &results(&lab.requests()[1])[0];
    assert!(!told.contains("TOPSECRET") && !told.contains("seen") && told.ends_with("[exit 0]"), "{told}");
    assert!(lab.work().join("made").exists() && !lab.work().join(".envrc").exists());
}

#[test]
fn the_doctor_says_the_level_and_never_the_key() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let run = lab.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &told["ok"]), (Some(0), &json!(true)), "{}{}", run.out, run.err);
    let says = |name: &str| {
        let check = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        format!("{}: {}", check["state"].as_str().unwrap(), check["says"].as_str().unwrap())
    };
    assert_eq!(says("sandbox"), "ok: full");
    assert_eq!(says("key"), "ok: found: MESHAPI_API_KEY");
    assert_eq!(says("folder"), format!("ok: {}", lab.work().canonicalize().unwrap().display()));
    assert!(!run.out.contains(KEY) && lab.requests().is_empty());
    let plain = lab.run(&["--no-sandbox", "doctor"]);
    assert!(plain.out.contains("! sandbox  off, by --no-sandbox"), "{}", plain.out);
    let keyless = lab.command(&["doctor"]).env_remove("MESHAPI_API_KEY").output().unwrap();
    let out = String::from_utf8_lossy(&keyless.stdout);
    assert_eq!(keyless.status.code(), Some(1));
    assert!(out.contains("✗ key      none\n            set MESHAPI_API_KEY"), "{out}");
}

#[test]
fn as_root_a_command_becomes_the_owner_of_the_project() {
    use std::os::unix::fs::{MetadataExt, chown};
    // An ordinary user cannot give a folder away.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let lab =
        Lab::new(Script::in_order([bash("id -u; echo x >made; cat /tmp/a; echo a >/tmp/a"), says("done")]));
    for folder in [lab.work(), lab.work().parent().unwrap().to_owned()] {
        chown(folder, Some(12345), Some(12345)).unwrap();
    }
    let output = confined(&lab, &["--", "sh", "-c", "id -u; echo x >own"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "12345\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(std::fs::metadata(lab.work().join("own")).unwrap().uid(), 12345);
    let run = lab.run(&["-p", "go", "--mode", "bypass"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(results(&lab.requests()[1])[0].starts_with("12345\n"), "{:?}", results(&lab.requests()[1]));
}

#[test]
fn file_tools_and_commands_share_one_tmp() {
    let name = format!("mesh-{}", free_port());
    let path = format!("/tmp/{name}");
    let lab = Lab::new(Script::in_order([
        calls("write_file", &json!({"path": path, "content": "from the tool\n"})),
        bash(&format!("cat {path}; echo from the command >{path}")),
        calls("read_file", &json!({"path": path})),
        // A link to what a command cannot see is judged by where it leads.
        bash(&format!("ln -sf \"$HOME/.ssh/id_ed25519\" {path}")),
        calls("read_file", &json!({"path": path})),
        says("done"),
    ]));
    std::fs::create_dir_all(lab.home().join(".ssh")).unwrap();
    std::fs::write(lab.home().join(".ssh/id_ed25519"), "TOPSECRET").unwrap();
    lab.run(&["-p", "go", "--mode", "bypass"]);
    let results = results(&lab.requests()[5]);
    assert!(results[1].starts_with("from the tool\n"), "{results:?}");
    assert!(results[2].contains("from the command"), "{results:?}");
    assert!(!results[4].contains("TOPSECRET"), "{results:?}");
    assert!(!std::path::Path::new(&path).exists());
}

/// Runs a script of the user's own in the working folder.
fn lay_out(lab: &Lab, script: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]).current_dir(lab.work()).env("HOME", lab.home());
    assert!(shell.status().unwrap().success(), "{script}");
}

/// What a confined script says in a folder of the working folder.
fn said_in(lab: &Lab, folder: &str, script: &str) -> String {
    let place = lab.work().canonicalize().unwrap().join(folder);
    let output = confined(lab, &["--", "sh", "-c", script]).current_dir(place).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_linked_work_tree_reaches_its_repository_and_no_other() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let root = lab.work().canonicalize().unwrap();
    let git = |script: &str| lay_out(&lab, script);
    std::fs::write(lab.home().join(".gitconfig"), "[user]\n\tname = A\n\temail = a@example.org\n").unwrap();
    git(
        "git init -q main; git -C main commit -q --allow-empty -m first; git -C main worktree add -q ../tree",
    );
    git(
        "git init -q other; git -C other commit -q --allow-empty -m first; git -C other worktree add -q ../real",
    );
    // A folder that claims to be a work tree of a repository which does not know it.
    git("mkdir forged; cp real/.git forged/.git");
    let run = |folder: &str, script: &str| said_in(&lab, folder, script);
    let said = run(
        "tree",
        "echo x >file; git add file && git commit -qm second && git log --format=%s; git status --short",
    );
    assert_eq!(said, "second\nfirst\n");
    let plant = "echo x >../main/.git/hooks/pre-commit; echo x >>../main/.git/config; echo x >../main/made; \
                 echo x >../main/.git/worktrees/tree/commondir; git config core.fsmonitor x; echo tried";
    assert!(run("tree", plant).contains("tried\n"));
    let config = std::fs::read_to_string(root.join("main/.git/config")).unwrap();
    assert!(!config.contains("fsmonitor") && !config.ends_with("x\n"), "{config}");
    for absent in ["main/.git/hooks/pre-commit", "main/made"] {
        assert!(!root.join(absent).exists(), "{absent}");
    }
    let refused = run("forged", "git log; echo x >../other/.git/made; echo tried");
    assert!(refused.contains("not a git repository") && !root.join("other/.git/made").exists(), "{refused}");
}

#[test]
fn a_submodule_alone_reaches_its_own_repository_and_no_more() {
    let lab = Lab::new(Script::in_order([says("never")]));
    let root = lab.work().canonicalize().unwrap();
    let git = |script: &str| lay_out(&lab, script);
    std::fs::write(
        lab.home().join(".gitconfig"),
        "[user]\n\tname = A\n\temail = a@example.org\n[protocol \"file\"]\n\tallow = always\n",
    )
    .unwrap();
    git("git init -q lib; git -C lib commit -q --allow-empty -m first; git init -q main; cd main; \
         git submodule --quiet add ../lib deps/lib; git commit -qm first");
    // A folder that claims to be the work tree of a module which does not know it.
    git("mkdir -p main/forged; echo 'gitdir: ../.git/modules/deps/lib' >main/forged/.git");
    let run = |folder: &str, script: &str| said_in(&lab, folder, script);
    let said = run(
        "main/deps/lib",
        "echo x >file; git add file && git commit -qm second && git log --format=%s; git status --short",
    );
    assert_eq!(said, "second\nfirst\n");
    let own = root.join("main/.git/modules/deps/lib");
    let before = std::fs::read_to_string(own.join("config")).unwrap();
    let plant = "d=../../.git; echo x >$d/modules/deps/lib/hooks/pre-commit; echo x >>$d/modules/deps/lib/config; \
                 echo x >$d/modules/deps/lib/commondir; echo x >$d/config; echo x >../made; echo x >.git; \
                 git config core.fsmonitor x; echo tried";
    assert!(run("main/deps/lib", plant).contains("tried\n"));
    assert_eq!(std::fs::read_to_string(own.join("config")).unwrap(), before);
    assert!(std::fs::read_to_string(root.join("main/.git/config")).unwrap().len() > 2);
    for absent in [own.join("hooks/pre-commit"), own.join("commondir"), root.join("main/deps/made")] {
        assert!(!absent.exists(), "{}", absent.display());
    }
    git("cd main/deps/lib; git log --format=%s | grep -qx second");
    let refused = run("main/forged", "git log; echo x >../.git/modules/deps/lib/made; echo tried");
    assert!(refused.contains("not a git repository") && !own.join("made").exists(), "{refused}");
}

#[test]
fn a_working_folder_that_is_gone_ends_a_call_and_not_the_session() {
    let lab = Lab::new(Script::in_order([
        bash("echo x >made; while test -e made; do sleep 0.05; done"),
        bash("echo second"),
        calls("write_file", &json!({"path": "file.txt", "content": "x"})),
        says("done"),
    ]));
    let work = lab.work();
    let removing = std::thread::spawn(move || {
        while !work.join("made").exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_dir_all(&work).unwrap();
    });
    let run = lab.run(&["-p", "go", "--mode", "bypass"]);
    removing.join().unwrap();
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("done"), "{}", run.out);
    let results = results(&lab.requests()[3]);
    assert!(results[1].contains("is not there any more; nothing was run"), "{results:?}");
    assert!(!results[2].is_empty(), "{results:?}");
}
