//! Tools with commands of their own: containers, clouds, databases, packages, builds. Tables say which of their commands ask.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::Call;
use super::options::{Options, outputs};
use crate::path::{Scope, Strictness};
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;

/// Commands that ask, by their first words; options between the words do not count.
#[rustfmt::skip]
const ASKED: &[(&[&str], &[&str], &str)] = &[
    (&["npm", "pnpm", "yarn", "bun"], &["publish", "unpublish", "deprecate", "owner", "access", "token", "login", "adduser", "logout", "profile", "dist-tag", "npm publish", "hook", "star", "whoami"], "acts on the registry in your name"),
    (&["cargo"], &["publish", "yank", "owner", "login", "logout"], "acts on the registry in your name"),
    (&["gem"], &["push", "yank", "owner", "signin"], "acts on the registry in your name"),
    (&["poetry", "uv", "hatch", "flit", "pdm", "rye", "maturin", "composer", "mix", "dart", "flutter", "conan", "vsce", "ovsx", "wasm-pack", "lerna", "changeset", "semantic-release", "goreleaser", "np", "release-it"],
        &["publish", "upload", "hex.publish", "pub publish", "login", "release", "self update"], "publishes a package"),
    (&["twine"], &["upload", "register"], "publishes a package"),
    (&["docker", "podman", "nerdctl"], &["push", "login", "logout", "system prune", "volume rm", "volume prune", "image prune", "container prune", "builder prune", "network prune", "network rm",
        "image rm", "rmi", "swarm", "secret", "plugin", "context", "stack rm", "service rm", "buildx prune", "export", "save", "commit", "update", "node"], "publishes, or removes what others may need"),
    (&["kubectl", "oc", "k3s", "microk8s"], &["delete", "drain", "cordon", "taint", "exec", "apply", "replace", "patch", "edit", "scale", "rollout", "create", "run", "cp", "expose", "set", "label", "annotate", "attach", "debug",
        "autoscale", "certificate", "port-forward", "proxy", "get secret", "get secrets", "describe secret", "describe secrets", "config set-credentials", "config set", "adm", "auth can-i"], "acts on a cluster, or shows its secrets"),
    (&["helm"], &["install", "upgrade", "uninstall", "delete", "rollback", "push", "registry login", "repo add", "plugin install"], "acts on a cluster"),
    (&["terraform", "tofu", "terragrunt"], &["apply", "destroy", "import", "taint", "untaint", "state rm", "state mv", "state push", "force-unlock", "workspace delete", "login", "run-all"], "changes infrastructure"),
    (&["pulumi", "cdk", "sam", "serverless", "sls", "sst", "copilot", "eb", "amplify"], &["up", "deploy", "destroy", "remove", "delete", "refresh", "terminate", "cancel", "import", "bootstrap"], "changes infrastructure"),
    (&["ansible", "ansible-playbook", "ansible-pull", "salt", "chef-client", "puppet", "capistrano", "cap", "fab", "nomad", "consul", "packer", "vagrant", "multipass", "virsh", "qm"],
        &["*"], "acts on other machines"),
    (&["aws"], &["s3 cp", "s3 mv", "s3 rm", "s3 sync", "s3 rb", "s3 mb", "s3 presign", "s3 website", "secretsmanager", "ssm", "sts", "kms", "iam", "configure", "ecr get-login-password", "ecr get-authorization-token", "lambda invoke", "sso", "codeartifact get-authorization-token"], "acts on a cloud account"),
    (&["gcloud", "az", "doctl", "linode-cli", "ibmcloud", "oci", "aliyun", "hcloud", "scw", "openstack", "nova", "exo"], &["auth print-access-token", "auth print-identity-token", "auth application-default", "auth", "account get-access-token", "secrets", "keyvault",
        "compute ssh", "compute scp", "iam", "ad", "storage cp", "storage rm", "storage", "app deploy", "run deploy", "functions deploy", "kms", "deploy"], "acts on a cloud account"),
    (&["gh"], &["gist", "repo create", "repo delete", "repo edit", "repo archive", "repo rename", "repo fork", "release create", "release delete", "release upload", "release edit", "secret", "variable", "auth", "ssh-key", "gpg-key", "pr create", "pr merge", "pr close", "pr comment",
        "pr review", "pr edit", "issue create", "issue close", "issue delete", "issue comment", "issue edit", "issue transfer", "workflow run", "workflow disable", "workflow enable", "run cancel", "run rerun", "run delete", "extension", "alias", "config set", "codespace", "label", "cache delete"], "acts on the forge in your name"),
    (&["glab"], &["auth", "snippet", "repo delete", "repo create", "mr create", "mr merge", "mr close", "release", "variable", "ssh-key", "token"], "acts on the forge in your name"),
    (&["heroku", "fly", "flyctl", "vercel", "netlify", "railway", "render", "surge", "firebase", "wrangler", "supabase", "dokku", "now", "deployctl", "eas", "fastlane", "planetscale", "pscale", "cf", "convox", "porter"],
        &["deploy", "apps destroy", "destroy", "config", "secrets", "secret", "auth", "run", "ssh", "pg", "pg:reset", "env", "apps:destroy", "config:set", "token", "db reset", "db push", "delete", "remove", "rm", "up", "publish", "--prod", "pages"], "acts on a hosting account"),
    (&["rails", "rake", "bin/rails"], &["db:drop", "db:reset", "db:purge", "db:schema:load", "db:truncate_all", "credentials:show", "credentials:edit", "secrets:show"], "empties a database or shows secrets"),
    (&["prisma", "drizzle-kit", "sequelize", "knex", "typeorm", "alembic", "flyway", "liquibase", "diesel", "sqlx", "goose", "dbmate"], &["migrate reset", "db push", "db execute", "drop", "db:drop", "downgrade", "clean", "drop-all", "dropall", "database drop", "database reset", "schema:drop", "migrate:rollback", "db:migrate:undo:all"], "empties or rolls back a database"),
    (&["dropdb", "dropuser", "createuser", "pg_restore", "pg_dropcluster", "mysqladmin", "mongorestore", "pg_resetwal", "mongodump", "mysqldump", "pg_dump", "pg_dumpall"], &["*"], "changes a database server, or copies all of it"),
    (&["wp", "artisan", "drush", "django-admin"], &["db reset", "db drop", "db:wipe", "migrate:fresh", "migrate:reset", "sql:drop", "flush", "site empty"], "empties a database"),
    (&["doppler"], &["secrets", "configs", "configure", "login", "me", "settings"], "gives out credentials"),
    (&["op"], &["read", "item get", "item list", "document get", "inject"], "gives out credentials"),
    (&["code", "codium", "cursor"], &["--install-extension", "--uninstall-extension", "tunnel"], "changes the editor or opens it to others"),
    (&["claude", "codex", "gemini", "aider", "goose", "opencode", "cursor-agent", "meshapi"], &["--dangerously-skip-permissions", "--yolo", "--dangerously-bypass-approvals-and-sandbox", "mcp add", "config", "--full-auto", "--yes-always"], "sets another agent free or changes its settings"),
];

/// Whether a program asks GitHub or GitLab: what comes back was written by anyone.
pub(super) fn asks_a_forge(call: &Call<'_>) -> bool {
    const OWN: [&str; 6] = ["alias", "completion", "config", "extension", "help", "version"];
    let command = call.args.iter().find(|arg| !arg.is_option());
    matches!(call.name.as_str(), "gh" | "glab" | "hub")
        && command.is_some_and(|command| !OWN.contains(&command.text.as_str()))
}

/// Asks for the commands of the table.
pub(super) fn subcommands(walk: &mut Walk<'_>, call: &Call<'_>) {
    if call.args.iter().any(|arg| matches!(arg.text.as_str(), "--help" | "-h" | "--dry-run")) {
        return;
    }
    let words: Vec<&str> =
        call.args.iter().map(|arg| arg.text.as_str()).filter(|word| !word.starts_with('-')).collect();
    for (names, commands, why) in ASKED {
        if !names.contains(&call.name.as_str()) {
            continue;
        }
        let found = commands.iter().find(|command| {
            **command == "*"
                || (command.starts_with('-') && call.args.iter().any(|arg| arg.text == **command))
                || starts_with(&words, command)
                || spans_namespace(&words, command)
        });
        if let Some(command) = found {
            walk.reaches_out = true;
            walk.ask(format!("`{} {command}` {why}", call.name));
        }
    }
    if runs_what_it_fetches(&call.name, &words) {
        walk.reaches_out = true;
        walk.ask(format!("`{}` runs what it fetches", call.name));
    }
    if is_destructive_cloud_call(call, &words) {
        walk.ask(format!("`{}` deletes or ends something on a cloud account", call.name));
    }
}

/// `deno run https://…`, `go run module@version`.
fn runs_what_it_fetches(name: &str, words: &[&str]) -> bool {
    match name {
        "deno" | "bun" => {
            words.iter().any(|word| word.starts_with("https://") || word.starts_with("http://"))
        }
        "go" => words.first() == Some(&"run") && words.get(1).is_some_and(|module| module.contains('@')),
        _ => false,
    }
}

fn starts_with(words: &[&str], command: &str) -> bool {
    let mut at = words.iter();
    command.split(' ').all(|want| at.next().is_some_and(|word| word.eq_ignore_ascii_case(want)))
}

/// Whether the tables of this file know a program by this name.
pub(super) fn is_listed(name: &str) -> bool {
    ASKED.iter().any(|(names, ..)| names.contains(&name)) || CLOUDS.contains(&name)
}

/// Whether it is the command line of a cloud.
pub(super) fn is_cloud(name: &str) -> bool {
    CLOUDS.contains(&name)
}

/// `kubectl -n prod delete x`: the value of a global option stands before the command.
fn spans_namespace(words: &[&str], command: &str) -> bool {
    words.len() > 1
        && starts_with(&words[1..], command)
        && !["get", "describe", "logs", "explain", "run", "exec", "test", "view", "list"].contains(&words[0])
}

/// Command lines of clouds.
const CLOUDS: [&str; 9] = ["aws", "gcloud", "az", "doctl", "oci", "ibmcloud", "linode-cli", "hcloud", "gh"];

fn is_destructive_cloud_call(call: &Call<'_>, words: &[&str]) -> bool {
    let verbs = [
        "delete",
        "terminate",
        "destroy",
        "remove",
        "purge",
        "put-",
        "create",
        "update",
        "stop",
        "reboot",
        "modify",
        "attach",
        "authorize",
        "add-iam",
        "set-iam",
        "get-secret",
        "reset",
    ];
    let verb = |word: &&str| verbs.iter().any(|verb| word.starts_with(verb));
    let by_method = call.name == "gh"
        && words.first() == Some(&"api")
        && call.args.iter().any(|arg| {
            ["-x", "--method", "-f", "--field", "--raw-field", "--input"]
                .iter()
                .any(|o| arg.text.to_lowercase().starts_with(o))
        });
    (CLOUDS.contains(&call.name.as_str()) && call.name != "gh" && words.iter().take(4).any(verb)) || by_method
}

/// `docker`, `podman`, `docker compose`.
pub(super) fn containers(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let words: Vec<&str> = call.args.iter().map(|arg| arg.text.as_str()).collect();
    let command = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    if (command == "compose" || call.name.ends_with("compose"))
        && has(&["down", "rm"])
        && has(&["-v", "--volumes", "-fsv", "-sfv", "--rmi"])
    {
        walk.ask("`compose` removes volumes or images");
    }
    if matches!(command, "rm" | "container")
        && (has(&["-f", "--force", "-v", "-fv", "-vf"]) || words.iter().any(|word| word.contains('*')))
        && has(&["rm"])
    {
        walk.ask(format!("`{} rm` removes running containers or their volumes", call.name));
    }
    if matches!(command, "build" | "buildx" | "run" | "create") {
        let names_source = |arg: &&Arg| arg.text.contains("src=") || arg.text.contains("source=");
        call.args.iter().filter(names_source).for_each(|arg| walk.operand(arg, &call.name));
    }
    if !matches!(command, "run" | "create" | "exec" | "cp" | "build" | "compose" | "container" | "buildx") {
        return call.passes_on();
    }
    const LOOSE: [&str; 16] = [
        "--privileged",
        "--pid=host",
        "--ipc=host",
        "--uts=host",
        "--userns=host",
        "--net=host",
        "--network=host",
        "--cap-add",
        "--device",
        "--security-opt",
        "--cgroupns=host",
        "--cap-add=all",
        "--volumes-from",
        "--device-cgroup-rule",
        "--gpus-all",
        "--group-add",
    ];
    for (at, word) in words.iter().enumerate() {
        let name = word.split('=').next().unwrap_or_default();
        let host = matches!(*word, "--pid" | "--ipc" | "--uts" | "--userns" | "--net" | "--network")
            && words.get(at + 1) == Some(&"host");
        if LOOSE.contains(word) || LOOSE.contains(&name) || host {
            walk.ask(format!("`{} {command}` takes the walls of the container down (`{word}`)", call.name));
        }
        let value = |long: &str| word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        let source = match *word {
            "-v" | "--volume" | "--mount" => call.args.get(at + 1).cloned(),
            _ => value("--volume")
                .or_else(|| value("--mount"))
                .or_else(|| word.strip_prefix("-v").filter(|rest| rest.starts_with(['/', '~', '.'])))
                .map(|text| call.args[at].with_text(text)),
        };
        if let Some(source) = source.filter(|_| command != "compose") {
            mounted(walk, &source, call);
        }
    }
    if command == "cp" {
        call.args.iter().skip(1).for_each(|arg| walk.operand(arg, &call.name));
        if let Some(target) = call.args.last().filter(|target| !target.text.contains(':')) {
            walk.write(target, &format!("`{} cp`", call.name));
        }
    }
    if command == "exec" && has(&["-u", "--user"]) && has(&["--privileged"]) {
        walk.ask(format!("`{} exec` runs with all rights", call.name));
    }
    call.passes_on()
}

/// A folder of this machine inside a container is as if the container's commands ran here.
fn mounted(walk: &mut Walk<'_>, source: &Arg, call: &Call<'_>) {
    let by_key = source
        .text
        .split(',')
        .find_map(|part| part.strip_prefix("source=").or_else(|| part.strip_prefix("src=")));
    let place = by_key.unwrap_or_else(|| source.text.split(':').next().unwrap_or_default());
    if !place.starts_with(['/', '~', '.', '*']) {
        return;
    }
    let (path, base) = (Path::new(place), walk.base());
    let secret = walk.guard.read(path, &base, Strictness::Content).is_err();
    let free = walk.guard.stands_folder(path, &base) && walk.guard.is_inside(path, &base);
    let outside = !free && walk.guard.write(path, &base, Scope::WorkspaceAndScratch).is_err();
    if secret || outside || place.ends_with(".sock") || source.begins_unknown {
        walk.ask(format!("`{}` gives `{place}` of this machine to a container", call.name));
    }
}

/// Clients of databases: statements that change or drop things ask.
pub(super) fn database(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    static CHANGES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:drop|truncate|delete|alter|grant|revoke|shutdown|flushall|flushdb|update\s+\S+\s+set|insert\s+into\s+mysql|dropdatabase|deletemany|deleteone|remove\(|config\s+(?:set|rewrite)|debug\s+segfault|slaveof|replicaof|module\s+load|script\s+flush|copy\s+\S+\s+(?:to|from)\s+program|load_file|into\s+(?:outfile|dumpfile)|pg_read_file|lo_export|xp_cmdshell|load_extension|readfile|writefile|edit\()|\\!|(?m:^\s*\.(?:shell|system|load|output|once|import|restore|save|clone)\b)|\.shell|\.system")
            .expect("a constant")
    });
    let words = call.args.iter().filter(|arg| !arg.text.contains("://")).map(|arg| arg.text.as_str());
    let statements = words.chain(call.stdin.text.as_deref()).collect::<Vec<_>>().join(" ");
    if CHANGES.is_match(&statements) {
        walk.ask(format!("a statement for `{}` changes or drops data, or leaves the database", call.name));
    }
    if call.name.contains("redis") || call.name.contains("valkey") {
        let words: Vec<String> = call.args.iter().map(|arg| arg.text.to_lowercase()).collect();
        if words.iter().any(|word| {
            matches!(
                word.as_str(),
                "flushall"
                    | "flushdb"
                    | "del"
                    | "unlink"
                    | "shutdown"
                    | "eval"
                    | "debug"
                    | "slaveof"
                    | "replicaof"
                    | "migrate"
            )
        }) {
            walk.ask("`redis-cli` removes data or changes the server");
        }
    }
    if call.stdin.taint.has(Taint::FETCHED) || call.stdin.taint.has(Taint::DECODED) {
        walk.ask(format!("`{}` runs statements that are only known at run time", call.name));
    }
    Flow::tainted(Taint::FILE)
}

/// Package tools of languages: what they install from elsewhere, and what they start.
pub(super) fn packages(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let words: Vec<&str> = call.args.iter().map(|arg| arg.text.as_str()).collect();
    let at = words.iter().position(|word| !word.starts_with(['-', '+'])).unwrap_or(words.len());
    let command = words.get(at).copied().unwrap_or_default();
    let installs = matches!(
        command,
        "install"
            | "i"
            | "add"
            | "ci"
            | "get"
            | "download"
            | "require"
            | "update"
            | "upgrade"
            | "pip"
            | "tool"
            | "dlx"
            | "exec"
            | "x"
            | "inject"
            | "wheel"
            | "global"
            | "create"
            | "build"
    );
    for (name, value) in call.args.iter().zip(call.args.iter().skip(1).map(Some).chain([None])) {
        let (option, given) = name
            .text
            .split_once('=')
            .map_or((name.text.as_str(), None), |(option, given)| (option, Some(name.with_text(given))));
        let sources = [
            "--index-url",
            "-i",
            "--extra-index-url",
            "--find-links",
            "--trusted-host",
            "--registry",
            "--index",
            "--default-index",
            "--source",
            "--git",
            "--repository",
        ];
        if installs
            && sources.contains(&option)
            && (option != "-i" || matches!(call.name.as_str(), "pip" | "pip3" | "uv"))
        {
            let source = given.or_else(|| value.cloned()).unwrap_or_default();
            const KNOWN: [&str; 5] = [
                "https://pypi.org/",
                "https://registry.npmjs.org",
                "https://download.pytorch.org/",
                "https://rubygems.org",
                "https://registry.yarnpkg.com",
            ];
            if !KNOWN.iter().any(|known| source.text.starts_with(known)) {
                walk.ask(format!("`{}` installs from another place (`{option}`)", call.name));
            }
        }
    }
    if installs {
        call.rest(at + 1).iter().for_each(|arg| foreign_package(walk, arg, &call.name));
    }
    if command == "config"
        && words.get(at + 1).is_some_and(|word| *word == "set")
        && words.iter().any(|w| {
            w.contains("script-shell") || w.contains("registry") || w.contains("proxy") || w.contains("_auth")
        })
    {
        walk.ask(format!("`{} config` changes where packages come from or what runs them", call.name));
    }
    inner(walk, call, command, at)
}

/// A package that comes from an address instead of the registry.
pub(super) fn foreign_package(walk: &mut Walk<'_>, package: &Arg, program: &str) {
    let text = package.text.to_lowercase();
    let spec = text
        .split_once('@')
        .filter(|(name, _)| !name.is_empty() && !name.contains([':', '/']))
        .map_or(text.as_str(), |(_, from)| from.trim());
    let foreign = ["http:", "https:", "git+", "git:", "git@", "ssh:", "hg+", "svn+", "ftp:"]
        .iter()
        .any(|scheme| spec.starts_with(scheme));
    if foreign {
        walk.ask(format!("`{program}` runs the code of `{}`, which no registry vouches for", package.text));
    }
}

/// `uv run cmd`, `poetry run cmd`, `npm exec cmd`, `cargo watch -s 'cmd'`.
fn inner(walk: &mut Walk<'_>, call: &Call<'_>, command: &str, at: usize) -> Flow {
    let is_runner = match call.name.as_str() {
        "uv" | "poetry" | "pdm" | "hatch" | "rye" | "pipenv" | "conda" | "mamba" | "nix" => command == "run",
        "bundle" | "bundler" | "pnpm" | "yarn" | "npm" | "mise" | "asdf" => {
            matches!(command, "exec" | "x" | "dlx")
        }
        "rustup" => command == "run",
        _ => false,
    };
    if is_runner {
        let skip = usize::from(matches!(call.name.as_str(), "rustup"));
        let rest = call.rest(at + 1 + skip);
        let options = Options::before_command(
            rest,
            "-n -p -c -e --with --python --package --env-file --name --prefix --directory --project --extra --group --call",
        );
        for text in options.values("-c", "--call") {
            walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
        }
        return walk.start(&rest[options.first.min(rest.len())..], call);
    }
    let shells = matches!((call.name.as_str(), command), ("cargo", "watch"))
        || call.name == "nix-shell"
        || (call.name == "nix" && matches!(command, "shell" | "develop"));
    if shells {
        for pair in call
            .args
            .windows(2)
            .filter(|pair| matches!(pair[0].text.as_str(), "-s" | "--shell" | "--run" | "--command" | "-c"))
        {
            walk.joined_text(&pair[1..], &call.name, call.stdin);
        }
    }
    if call.name == "go" {
        outputs(walk, call);
        if call.args.iter().any(|arg| arg.text.starts_with("-toolexec") || arg.text.starts_with("-exec")) {
            walk.ask("`go` starts another program");
        }
    }
    if call.name == "cargo"
        && call.args.iter().any(|arg| arg.text.starts_with("--config") && arg.text.contains("runner"))
    {
        walk.ask("`cargo` starts another program");
    }
    call.passes_on()
}

/// Compilers and build tools: `-o`, other folders, and variables that name programs.
pub(super) fn build(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    outputs(walk, call);
    for arg in call.args {
        match arg.text.split_once('=') {
            Some(("SHELL" | "MAKEFLAGS" | ".SHELLFLAGS", value))
                if !["/bin/sh", "/bin/bash", "/usr/bin/bash", "bash", "sh"].contains(&value) =>
            {
                walk.ask(format!("`{}` runs its commands in another program", call.name));
            }
            _ if arg.text.starts_with("--eval") => {
                walk.ask(format!("`{}` runs a text of its own language", call.name))
            }
            _ => {}
        }
    }
    for pair in
        call.args.windows(2).filter(|pair| matches!(pair[0].text.as_str(), "-f" | "--file" | "--makefile"))
    {
        walk.execute(&pair[1]);
        if pair[1].text == "-" && call.stdin.is_fed {
            walk.ask(format!("`{}` runs rules that come in", call.name));
        }
    }
    call.passes_on()
}
