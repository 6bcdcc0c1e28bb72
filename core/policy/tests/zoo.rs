//! Every bad policy in `tests/bad`, with the exact output beside it, and the policies that ship.
//!
//! `UPDATE_EXPECT=1 cargo test -p sigillo-policy` writes the outputs anew; read them before keeping them.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sigillo_policy::{Diagnostic, FactValue, Facts, Manifest, Manifests, OnFailure, SetBy, Stage, parse};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn manifest(path: &Path) -> Manifest {
    let (manifest, warnings) = Manifest::parse("plugin.yaml", &fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(warnings, []);
    manifest
}

fn manifests() -> Manifests {
    let all = fs::read_dir(folder("tests/manifests")).unwrap().map(|entry| manifest(&entry.unwrap().path()));
    all.map(|manifest| (manifest.name.clone(), manifest)).collect()
}

fn render(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |mut text, diagnostic| {
        let _ = writeln!(text, "{diagnostic}\n");
        text
    })
}

#[test]
fn every_bad_policy_is_refused_with_these_words() {
    let mut files: Vec<_> = fs::read_dir(folder("tests/bad")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 27, "the zoo has lost animals");
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = parse(name, &fs::read_to_string(&path).unwrap(), &manifests());
        let found = found.map(|_| format!("{name} was taken")).map_err(|found| render(&found));
        let (Ok(found) | Err(found)) = found;
        let beside = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&beside, &found).unwrap();
        }
        if fs::read_to_string(&beside).unwrap_or_default() != found || found.contains("was taken") {
            wrong.push(found);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The policies that operators begin with.
fn shipped(name: &str) -> sigillo_policy::Policy {
    let text = fs::read_to_string(folder("../../policies").join(name)).unwrap();
    let plugins = fs::read_dir(folder("../../plugins")).unwrap().map(|entry| entry.unwrap().path().join("plugin.yaml"));
    let plugins = plugins.filter(|path| path.is_file()).map(|path| manifest(&path));
    let installed: Manifests = plugins.map(|manifest| (manifest.name.clone(), manifest)).collect();
    let (policy, warnings) = parse(name, &text, &installed).map_err(|found| render(&found)).unwrap();
    assert_eq!(render(&warnings), "");
    policy
}

#[test]
fn the_plain_policy_runs_nothing() {
    let policy = shipped("plain.yaml");
    assert!(policy.plugins.is_empty() && policy.chains.is_empty());
}

#[test]
fn the_antivirus_policy_lets_nothing_pass_unscanned() {
    let policy = shipped("plain-antivirus.yaml");
    for stage in [Stage::Access, Stage::Reception] {
        let step = &policy.chain(stage, &Facts::new()).unwrap().steps[0];
        assert_eq!((step.plugin.as_str(), step.on_failure, step.advisory), ("antivirus", OnFailure::Defer, false));
    }
    let scanners: Vec<_> =
        policy.plugins["antivirus"].grants.scan.iter().map(|(name, at)| (name.as_str(), at.line)).collect();
    assert_eq!(scanners, [("clamav", 13)]);
}

#[test]
fn the_pec_policy_runs_the_plugin_for_certified_mail_only() {
    let policy = shipped("pec-minimal.yaml");
    for stage in [Stage::Access, Stage::Reception, Stage::Delivery, Stage::Outcome] {
        let mut facts = Facts::new();
        facts.set("domain.class", "ordinary");
        assert!(policy.chain(stage, &facts).is_none(), "{stage}");
        // Several recipients: one of a certified domain is enough.
        facts.set("domain.class", vec!["ordinary".to_owned(), "Certified".to_owned()]);
        let chain = policy.chain(stage, &facts).unwrap();
        assert_eq!(chain.steps[0].plugin, "pec");
        assert_eq!(chain.steps[0].on_failure, OnFailure::Defer);
        assert!(!chain.steps[0].advisory);
    }
    assert!(policy.chain(Stage::Stored, Facts::new().set("domain.class", "certified")).is_none());
}

/// Two files, one set of rules: what the one says of `pec`, the other says too.
#[test]
fn the_pec_policy_with_a_scanner_is_the_other_with_a_step_before() {
    let (plain, scanned) = (shipped("pec-minimal.yaml"), shipped("pec-minimal-antivirus.yaml"));
    let mut config = scanned.plugins["pec"].config.clone();
    let check = config.as_object_mut().unwrap().remove("virus-check");
    assert_eq!(check.unwrap(), "antivirus", "the plugin whose verdict is needed");
    assert_eq!(config, plain.plugins["pec"].config);
    assert_eq!(scanned.plugins["pec"].grants, plain.plugins["pec"].grants);
    assert_eq!(scanned.plugins["antivirus"].config["on-infected"], "annotate");
    assert_eq!(scanned.chains.len(), plain.chains.len());
    for (chain, other) in scanned.chains.iter().zip(&plain.chains) {
        let mut steps = chain.steps.clone();
        if [Stage::Access, Stage::Reception].contains(&chain.stage) {
            let scan = steps.remove(0);
            assert_eq!((scan.plugin.as_str(), scan.on_failure, scan.advisory), ("antivirus", OnFailure::Defer, false));
        }
        for (step, other) in steps.iter_mut().zip(&other.steps) {
            step.position = other.position;
        }
        assert_eq!(
            (&chain.name, chain.stage, &chain.when, &steps),
            (&other.name, other.stage, &other.when, &other.steps)
        );
    }
}

/// The whole service: what certifies is what the smaller policy says, nothing of it may be skipped, and the steps around it
/// neither come between it and its bytes nor decide over the message.
#[test]
fn the_whole_policy_certifies_as_the_smaller_one_does() {
    let (small, whole) = (shipped("pec-minimal-antivirus.yaml"), shipped("pec-provider.yaml"));
    for plugin in ["pec", "antivirus"] {
        assert_eq!(whole.plugins[plugin].config, small.plugins[plugin].config, "{plugin}");
        let (mut grants, mut other) = (whole.plugins[plugin].grants.clone(), small.plugins[plugin].grants.clone());
        for (_, at) in grants.scan.iter_mut().chain(&mut other.scan) {
            *at = whole.plugins["pec"].position;
        }
        assert_eq!(grants, other, "{plugin}");
    }
    let mut certified = Facts::new();
    certified.set("domain.class", "certified");
    for stage in [Stage::Access, Stage::Reception, Stage::Delivery, Stage::Outcome] {
        let steps = &whole.chain(stage, &certified).unwrap().steps;
        let smaller = &small.chain(stage, &certified).unwrap().steps;
        let what_certifies = |steps: &[sigillo_policy::Step]| {
            let steps = steps.iter().filter(|step| ["pec", "antivirus"].contains(&step.plugin.as_str())).cloned();
            steps.map(|step| sigillo_policy::Step { position: smaller[0].position, ..step }).collect::<Vec<_>>()
        };
        assert_eq!(what_certifies(steps), what_certifies(smaller), "{stage}");
        for step in steps.iter().filter(|step| step.plugin == "antispam") {
            assert!(step.advisory && step.on_failure == OnFailure::Skip && !step.may_discard, "{stage}");
        }
    }
    let names = |stage| {
        let steps = &whole.chain(stage, &certified).unwrap().steps;
        steps.iter().map(|step| step.plugin.as_str()).collect::<Vec<_>>()
    };
    // The original before it is wrapped, the filed message after everything else.
    assert_eq!(names(Stage::Access), ["antivirus", "antispam", "archive", "pec"]);
    assert_eq!(names(Stage::Delivery), ["pec", "antispam", "archive"]);
    assert_eq!(names(Stage::Stored), ["forwarding", "alerts"]);
    // Ordinary mail: never unscanned, never certified.
    let mut ordinary = Facts::new();
    ordinary.set("domain.class", "ordinary");
    for stage in [Stage::Access, Stage::Reception] {
        let steps = &whole.chain(stage, &ordinary).unwrap().steps;
        assert_eq!((steps[0].plugin.as_str(), steps[0].on_failure), ("antivirus-ordinary", OnFailure::Defer));
        assert!(steps.iter().all(|step| step.plugin != "pec"));
    }
    // BOX-16, ARC-01: a mailbox of an ordinary domain has a copy of what it receives and of what it sends.
    for stage in [Stage::Access, Stage::Delivery] {
        assert_eq!(whole.chain(stage, &ordinary).unwrap().steps.last().unwrap().plugin, "archive", "{stage}");
    }
    // What the plugins themselves write to a mailbox is no anomaly; nobody else's mail is.
    let mut own = certified.clone();
    own.set("made.by", "alerts");
    assert!(whole.chain(Stage::Reception, &own).unwrap().steps.is_empty());
    own.set("made.by", "pec");
    assert_eq!(whole.chain(Stage::Reception, &own).unwrap().name, "incoming-point");
    // Each plugin that ships is in it.
    let used: std::collections::BTreeSet<_> =
        whole.plugins.values().map(|plugin| plugin.component.manifest_name()).collect();
    let ships: std::collections::BTreeSet<String> = fs::read_dir(folder("../../plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("plugin.yaml").is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(used.into_iter().map(str::to_owned).collect::<std::collections::BTreeSet<_>>(), ships);
}

#[test]
fn a_policy_has_its_values() {
    let text = "apiVersion: sigillo/v1
kind: Policy
plugins:
  pec:
    component: pec@0.1
    sha256: 00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff
    config: { provider-name: Alfa, limits: { recipients-max: 5 }, list: [1, a, true, 1.5] }
    grants:
      submit: { from: [posta-certificata@alfa.example] }
      signer: [provider]
      verifier: true
      directory: read
      mailboxes: read
      state: true
      timers: { on-failure: hold, limits: { cpu: 2s } }
      evidence: true
chains:
  - name: small
    stage: access
    when: { size: \"<1MiB\", identity.domain: [Alfa.example, beta.example] }
    steps:
      - { plugin: pec, on-failure: hold, limits: { memory: 32MiB, host-calls: 7 }, may: [accept, discard] }
";
    let (policy, warnings) = parse("p.yaml", text, &manifests()).map_err(|found| render(&found)).unwrap();
    assert_eq!(warnings, []);
    let pec = &policy.plugins["pec"];
    assert_eq!(pec.config["limits"]["recipients-max"], 5);
    assert_eq!(pec.config["list"].to_string(), "[1,\"a\",true,1.5]");
    assert!(pec.sha256.as_ref().unwrap().starts_with("00112233445566778899aabb"));
    let submit = pec.grants.submit.as_ref().unwrap();
    let allowed = |path: &str| submit.allows(&path.parse().unwrap());
    assert!(allowed("") && allowed("Posta-Certificata@ALFA.example") && !allowed("ada@alfa.example"));
    let timers = pec.grants.timers.unwrap();
    assert_eq!((timers.on_failure, timers.limits.cpu.as_secs()), (OnFailure::Hold, 2));
    let step = &policy.chains[0].steps[0];
    assert_eq!((step.limits.memory, step.limits.host_calls, step.limits.cpu.as_millis()), (32 << 20, 7, 500));
    assert!(step.may_accept && step.may_discard);
    assert_eq!((step.position.line, step.position.column), (22, 19));
    let error = policy.error(step.position, "E308", "the component is not the one that is pinned");
    assert!(error.to_string().contains("p.yaml:22:19") && error.to_string().ends_with(" ^^^"));
    assert_eq!(policy.sha256.len(), 64);

    let facts = |size: u64, domain: &str| Facts::new().set("size", size).set("identity.domain", domain).clone();
    assert!(policy.chain(Stage::Access, &facts(1000, "ALFA.example")).is_some());
    assert!(policy.chain(Stage::Access, &facts(1 << 20, "alfa.example")).is_none());
    assert!(policy.chain(Stage::Access, &facts(1000, "gamma.example")).is_none());
    assert!(policy.chain(Stage::Access, Facts::new().set("size", 1u64)).is_none(), "an unknown fact fulfils nothing");
    assert!(policy.chain(Stage::Reception, &facts(1000, "alfa.example")).is_none());
    assert_eq!(facts(1, "x").get("size"), Some(&FactValue::Number(1)));
}

#[test]
fn the_manifests_of_the_plugins_are_manifests() {
    let folders = fs::read_dir(folder("../../plugins")).unwrap().map(|entry| entry.unwrap().path());
    let plugins: Vec<_> = folders.map(|folder| folder.join("plugin.yaml")).filter(|path| path.exists()).collect();
    assert!(!plugins.is_empty());
    for path in plugins {
        let folder = path.parent().and_then(|folder| folder.file_name()).unwrap().to_owned();
        assert_eq!(manifest(&path).name, folder.to_string_lossy());
    }
}

#[test]
fn a_bad_manifest_is_refused_with_every_mistake() {
    let text = "name: Pec\nversion: 0.1\ncontract: sigillo:mail@9.0.0\nstages: [acces, delivery, delivery]\n\
                capabilities: [submit, sockets]\nauthor: x\nconfig: { a: { type: string }, b: text }\n";
    let found = Manifest::parse("plugin.yaml", text).unwrap_err();
    let places: Vec<_> = found.iter().map(|d| (d.line, d.column, d.code)).collect();
    let wanted = [
        (1, 1, "E202"),
        (1, 7, "E207"),
        (2, 10, "E203"),
        (3, 11, "E307"),
        (4, 10, "E204"),
        (4, 27, "E208"),
        (5, 24, "E204"),
        (6, 1, "E201"),
        (7, 22, "E204"),
        (7, 35, "E203"),
    ];
    assert_eq!(places, wanted, "{}", render(&found));
}

#[test]
fn diagnostics_are_json_too() {
    let found = parse("p.yaml", "kind: Policy\nchains: []\napiversion: x\n", &Manifests::new()).unwrap_err();
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json[1]["severity"], "error");
    assert_eq!(json[1]["code"], "E201");
    assert_eq!((&json[1]["line"], &json[1]["column"]), (&3.into(), &1.into()));
    assert_eq!(json[1]["help"], "did you mean 'apiVersion'?");
}

/// Everything below a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned(),
    };
    entries.map(text).collect()
}

/// The operators' page says every default, fact and code, and no others.
#[test]
fn the_readme_agrees_with_the_code() {
    let readme = fs::read_to_string(folder("../../policies/README.md")).unwrap();
    let limits = sigillo_policy::Limits::default();
    for (name, value) in [
        ("memory", format!("{}MiB", limits.memory >> 20)),
        ("cpu", format!("{}ms", limits.cpu.as_millis())),
        ("wall", format!("{}s", limits.wall.as_secs())),
        ("host-calls", limits.host_calls.to_string()),
        ("read", format!("{}MiB", limits.read >> 20)),
        ("write", format!("{}MiB", limits.write >> 20)),
    ] {
        assert!(readme.contains(&format!("| `{name}` | `{value}` |")), "{name} {value}");
    }
    for fact in Stage::ALL.into_iter().flat_map(sigillo_policy::facts::known_facts) {
        assert!(readme.contains(&format!("| `{fact}` |")), "{fact}");
    }
    // And the stages at which each is known.
    let with_chains = [Stage::Access, Stage::Reception, Stage::Delivery, Stage::Stored, Stage::Refiled, Stage::Outcome];
    let table = readme.split("| fact | at | value |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(" | ").collect()).collect();
    for stage in with_chains {
        let known: Vec<&str> = sigillo_policy::facts::known_facts(stage).collect();
        for row in rows.iter().filter(|row| row.len() > 2) {
            let fact = row[0].trim_matches(['|', ' ', '`']);
            // Words between backticks are values.
            let at: String = row[1].split('`').step_by(2).collect();
            let said = at == "all" || at.split([' ', ',', ':', ';']).any(|word| word == stage.as_str());
            assert_eq!(known.contains(&fact), said, "{fact} at {stage}");
        }
    }
    // Those of `check` too, which reads the files and loads the plugins.
    let code: String = ["src", "../plugin/src", "../server/src"].map(|source| sources(&folder(source))).concat();
    let codes = |text: &str, quote: char| {
        let words =
            text.split(quote).filter(|w| w.len() == 4 && w.starts_with(['E', 'W']) && w[1..].parse::<u16>().is_ok());
        words.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(codes(&code, '"'), codes(&readme, '`'));
}

#[test]
fn commands_of_a_manifest_have_names_and_descriptions() {
    let text = |commands: &str| {
        format!(
            "name: a\nversion: 0.1.0\ncontract: sigillo:mail@0.1.0\nstages: []\ncapabilities: []\ndescription: A.\n\
             commands: {commands}\n"
        )
    };
    let (manifest, _) = Manifest::parse("plugin.yaml", &text("{ look: { description: Looks. } }")).unwrap();
    assert_eq!(manifest.commands.into_iter().collect::<Vec<_>>(), [("look".to_owned(), "Looks.".to_owned())]);
    for wrong in
        ["{ help: { description: x } }", "{ Look: { description: x } }", "{ look: {} }", "[look]", "{ look: x }"]
    {
        assert!(Manifest::parse("plugin.yaml", &text(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn operations_of_a_manifest_have_names_descriptions_and_arguments() {
    let text = |operations: &str| {
        format!(
            "name: a\nversion: 0.1.0\ncontract: sigillo:mail@0.1.0\nstages: []\ncapabilities: []\ndescription: A.\n\
             commands: {{ look: {{ description: Looks. }} }}\noperations: {operations}\n"
        )
    };
    let sound =
        "{ add: { description: Adds., example: by=3, arguments: { by: { required: true, description: A number. } } } }";
    let (manifest, _) = Manifest::parse("plugin.yaml", &text(sound)).unwrap();
    assert!(manifest.operations["add"].arguments["by"].required);
    assert_eq!(manifest.operations["add"].example.as_deref(), Some("by=3"));
    assert_eq!(manifest.operations["add"].by, SetBy::Administrator);
    let own =
        "{ add: { description: Adds., by: user, arguments: { mailbox: { required: true, description: Whose. } } } }";
    let (manifest, _) = Manifest::parse("plugin.yaml", &text(own)).unwrap();
    assert_eq!(manifest.operations["add"].by, SetBy::User);
    for wrong in [
        "{ help: { description: x } }",
        "{ Add: { description: x } }",
        "{ add: {} }",
        "{ look: { description: stands under commands too } }",
        "{ add: { description: x, arguments: { by: {} } } }",
        "{ add: { description: x, arguments: { continue: { description: taken } } } }",
        "{ add: { description: x, argument: {} } }",
        "{ add: { description: x, example: [by=3] } }",
        "{ add: { description: x, by: anybody } }",
        "{ add: { description: for users but of no mailbox, by: user } }",
        "{ add: { description: x, by: user, arguments: { mailbox: { description: not required } } } }",
        "[add]",
    ] {
        assert!(Manifest::parse("plugin.yaml", &text(wrong)).is_err(), "{wrong}");
    }
}
