//! The annotated configuration that ships is read by the server and says the defaults that the code has.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigillo_server::config::{Config, MESSAGE_SIZE, TargetConfig};

fn shipped() -> Config {
    Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/sigillo.yaml")).unwrap()
}

/// The same file with only what has no default.
fn shortest() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sigillo.yaml");
    let text = "hostname: mail.alfa.example\npolicy: policy.yaml\ntls: { certificate: tls.pem, key: tls.key }\n\
                listeners:\n  - { protocol: relay, address: \"127.0.0.1:25\", tls: starttls }\n";
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

#[test]
fn the_shipped_values_are_the_defaults() {
    let (shipped, shortest) = (shipped(), shortest());
    assert_eq!(shipped.data_dir, shortest.data_dir);
    assert_eq!(shipped.plugins_dir, shortest.plugins_dir);
    assert_eq!(shipped.limits.message_size, MESSAGE_SIZE);
    assert_eq!(shipped.limits.message_size, shortest.limits.message_size);
    assert_eq!(shipped.limits.sessions, shortest.limits.sessions);
    assert_eq!(shipped.limits.dispatch, shortest.limits.dispatch);
    assert_eq!(shipped.limits.quarantine_days, shortest.limits.quarantine_days);
    assert_eq!(shipped.limits.history_days, shortest.limits.history_days);
    assert_eq!(shipped.limits.quota_warnings, shortest.limits.quota_warnings);
    let clamav = &shipped.scanners["clamav"];
    let bare = &shipped.scanners["other"];
    assert_eq!((clamav.timeout, clamav.connections), (bare.timeout, bare.connections));
    let options = shipped.scanner_options();
    assert_eq!(options[0].size_max, options[1].size_max);
    assert!(shortest.scanners.is_empty());
    let (TargetConfig::Http(deposit), TargetConfig::Http(sms)) = (&shipped.targets["deposit"], &shipped.targets["sms"])
    else {
        panic!("both speak http");
    };
    let (TargetConfig::Sftp(files), TargetConfig::S3(objects)) =
        (&shipped.targets["files"], &shipped.targets["objects"])
    else {
        panic!("one speaks sftp, one s3");
    };
    assert!(files.port == 22 && files.folder.is_empty() && files.read_back);
    assert!(objects.prefix.is_empty() && objects.if_none_match && !objects.insecure);
    let (a, b) = (&deposit.limits, &sms.limits);
    assert_eq!(
        (a.timeout, a.connections, a.expire_hours, a.size_max),
        (b.timeout, b.connections, b.expire_hours, b.size_max)
    );
    let TargetConfig::Smpp(full) = &shipped.targets["message-centre"] else { panic!() };
    let TargetConfig::Smpp(bare) = &shipped.targets["other-centre"] else { panic!() };
    assert_eq!((full.tls, full.alphabet, full.long_texts), (bare.tls, bare.alphabet, bare.long_texts));
    assert_eq!((full.per_second, full.enquire_link), (bare.per_second, bare.enquire_link));
    let waits: Vec<_> = a.retry.iter().flatten().map(|seconds| std::time::Duration::from_secs(*seconds)).collect();
    assert_eq!(waits, shortest.schedule().waits);
    assert!(b.retry.is_none() && !sms.insecure && shortest.targets.is_empty());
    let sms = shipped.provisioning.text_messages.as_ref().unwrap();
    assert_eq!(
        (sms.target.as_str(), sms.parameters["to"].as_str(), &sms.content),
        ("message-centre", "{number}", &None)
    );
    let figures = sigillo_provisioning::Settings { text_messages: None, ..shipped.provisioning.clone() };
    assert_eq!(figures, shortest.provisioning);
    assert_eq!(shipped.log.format, shortest.log.format);
    assert_eq!(shipped.log.level, shortest.log.level);
    let (a, b) = (&shipped.evidence, &shortest.evidence);
    assert_eq!((a.rotate_octets, a.retention_days, &a.copies), (b.rotate_octets, b.retention_days, &b.copies));
    assert!(b.timestamps.is_none());
    let (a, b) = (shipped.schedule(), shortest.schedule());
    assert_eq!((a.waits, a.expire), (b.waits, b.expire));
    let (a, b) = (shipped.authenticity().unwrap(), shortest.authenticity());
    assert!(b.is_none());
    let b = sigillo_server::config::Authentication::default();
    assert_eq!((a.authserv_id, a.resolvers), (shipped.hostname.clone(), b.resolvers));
    assert_eq!((a.timeout.as_secs(), a.message_size), (b.timeout, b.message_size));
    assert_eq!(shipped.authentication.unwrap().field, b.field);
}

/// QUO-02, QUO-03, QUO-04, QUO-09, QUO-10: the figures of the service.
#[test]
fn the_five_offers_of_the_service_are_built_in() {
    let offers = shortest().all_offers();
    let figure = |name: &str| {
        let offer = &offers[name];
        let size = |setting: &str| offer.settings.get(setting).map_or(0, |gb| gb.parse::<u64>().unwrap());
        (offer.kinds[0], offer.quota() >> 30, size("archive-size"), size("conservation-size"))
    };
    use sigillo_store::Kind::{Individual, MultiUser};
    assert_eq!(figure("smart"), (Individual, 1, 0, 0));
    assert_eq!(figure("pro"), (Individual, 5, 5, 0));
    assert_eq!(figure("plus"), (Individual, 5, 10, 0));
    assert_eq!(figure("aziende"), (MultiUser, 5, 5, 5));
    assert_eq!(figure("aziende-plus"), (MultiUser, 5, 10, 10));
    assert_eq!(offers.len(), 5);
    let shipped = shipped().all_offers();
    assert_eq!((shipped.len(), shipped["invii-5000"].daily_sends), (6, Some(5000)));
}

#[test]
fn certified_mail_stays_thirty_months_in_quarantine() {
    let mut config = shipped();
    assert!(config.check_certified().is_ok());
    config.limits.quarantine_days = 914;
    let problem = config.check_certified().unwrap_err().to_string();
    assert!(problem.contains("quarantine-days") && problem.contains("915"), "{problem}");
}

/// What a configuration must have.
const REST: &str = "hostname: a\npolicy: p\ntls: { certificate: c, key: k }\n\
                    listeners: [{ protocol: relay, address: \"127.0.0.1:1\", tls: starttls }]\n";

#[test]
fn waits_and_passwords_for_others_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sigillo.yaml");
    let target = "targets: { a: { protocol: http, url: \"https://a.example\", limits: { retry: [30, WAIT] } } }\n";
    let stamps = "evidence: { timestamps: { url: \"URL\", anchors: a, username: x, password-file: p } }\n";
    for (text, wrong) in [
        (target.replace("WAIT", "86400"), None),
        (target.replace("WAIT", "86401"), Some("limits.retry wants at least one wait, each of 1 to 86400")),
        (target.replace("WAIT", "0"), Some("limits.retry wants at least one wait")),
        ("delivery: { retry: [100000] }\n".into(), Some("delivery.retry: wants at least one wait, each of 1 to 86400")),
        (stamps.replace("URL", "https://tsa.example/a"), None),
        (stamps.replace("URL", "http://127.0.0.1:318/a"), None),
        (stamps.replace("URL", "http://tsa.example/a"), Some("the password in clear")),
        (stamps.replace("URL", "tsa.example"), Some("'tsa.example' is not a URL")),
    ] {
        std::fs::write(&path, format!("{REST}{text}")).unwrap();
        let found = Config::load(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(found.contains(wrong.unwrap_or("sigillo.yaml")), wrong.is_some(), "{text}: {found}");
    }
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sigillo.yaml");
    let cases = [
        ("hostnam: x\n", "hostnam"),
        ("hostname: \"a b\"\npolicy: p\ntls: { certificate: c, key: k }\nlisteners: []\n", "hostname 'a b'"),
        ("hostname: a\npolicy: p\ntls: { certificate: c, key: k }\nlisteners: []\n", "listeners"),
        (
            "hostname: a\npolicy: p\ntls: { certificate: c, key: k }\nlisteners: [{ protocol: pop3, address: \"127.0.0.1:1\", tls: implicit }]\n",
            "pop3",
        ),
        ("scanners: { a: { protocol: clamd, address: nowhere } }\n", "scanners.a: address 'nowhere'"),
        ("scanners: { a: { protocol: clamd, address: \"h:1\", service: x } }\n", "scanners.a: 'service' is for icap"),
        ("scanners: { a: { protocol: icap, address: \"h:1\" } }\n", "scanners.a: icap wants 'service'"),
        ("scanners: { a: { protocol: icap, address: \"h:1\", service: \"a b\" } }\n", "service 'a b'"),
        ("scanners: { a: { protocol: icap, address: /run/x, service: a } }\n", "scanners.a: icap wants an address"),
        ("scanners: { a: { protocol: clamd, address: /run/x, timeout: 0 } }\n", "timeout wants 1 to 600"),
        ("scanners: { a: { protocol: clamd, address: /run/x, connections: 0 } }\n", "connections wants 1 to 1000"),
        ("targets: { A: { protocol: http, url: \"https://a.example\" } }\n", "'A' is no name"),
        ("targets: { a: { protocol: gopher } }\n", "gopher"),
        ("targets: { a: { protocol: http, url: \"ftp://a.example\" } }\n", "targets.a: 'ftp://a.example' is not a URL"),
        ("targets: { a: { protocol: http, url: \"http://a.example\" } }\n", "insecure: true"),
        ("targets: { a: { protocol: http, url: \"https://u:p@a.example\" } }\n", "use 'auth'"),
        ("targets: { a: { protocol: http, url: \"https://a.example\", answers: { \"4x\": done } } }\n", "'4x'"),
        (
            "targets: { a: { protocol: http, url: \"https://a.example\", auth: { secret-file: s } } }\n",
            "auth wants one of",
        ),
        (
            "targets: { a: { protocol: smpp, address: a, system-id: s, password-file: p, from: S } }\n",
            "'a' is not HOST:PORT",
        ),
        (
            "targets: { a: { protocol: smpp, address: \"a:1\", system-id: s, password-file: p, from: \"è\" } }\n",
            "from 'è'",
        ),
        (
            "targets: { a: { protocol: smpp, address: \"a:1\", system-id: sixteen-letters-, password-file: p, from: S } }\n",
            "system-id",
        ),
        (
            "targets: { a: { protocol: http, url: \"https://a.example\", limits: { expire-hours: 721 } } }\n",
            "expire-hours wants 1 to 720",
        ),
    ];

    let evidence = [
        ("evidence: { retention-days: 914 }\n", "thirty months"),
        ("evidence: { rotate-octets: 1 }\n", "evidence.rotate-octets"),
        ("evidence: { timestamps: { url: u, anchors: a, username: x } }\n", "go together"),
    ];
    let offers = [
        ("offers: { Big: { description: d, kinds: [individual], mailbox-gb: 1 } }\n", "offers.Big: a name has"),
        ("offers: { a: { description: d, kinds: [], mailbox-gb: 1 } }\n", "offers.a.kinds"),
        ("offers: { a: { description: d, kinds: [shared], mailbox-gb: 1 } }\n", "shared"),
        ("offers: { a: { description: d, kinds: [individual], mailbox-gb: 0 } }\n", "offers.a.mailbox-gb"),
        ("offers: { a: { description: d, kinds: [application], mailbox-gb: 1, daily-sends: 0 } }\n", "daily-sends"),
        ("limits: { quota-warnings: [95, 80] }\n", "limits.quota-warnings"),
        ("limits: { quota-warnings: [101] }\n", "limits.quota-warnings"),
        ("limits: { history-days: 0 }\n", "limits.history-days"),
    ];
    for (text, want) in cases.into_iter().chain(evidence).chain(offers) {
        let added = ["scanners", "targets", "evidence", "offers", "limits"].iter().any(|key| text.starts_with(key));
        let text = if added { format!("{REST}{text}") } else { text.to_owned() };
        std::fs::write(&path, text).unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("sigillo.yaml") && error.contains(want), "{want}: {error}");
    }
}

#[test]
fn adm_14_a_gateway_for_text_messages_is_a_target_that_sends_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sigillo.yaml");
    let said = |targets: &str, gateway: &str| {
        let text =
            format!("{REST}targets: {{ {targets} }}\nprovisioning: {{ text-messages: {{ target: {gateway} }} }}\n");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).map_or_else(|error| error.to_string(), |_| String::new())
    };
    let http = "a: { protocol: http, url: \"https://a.example\" }";
    let s3 = "a: { protocol: s3, endpoint: \"https://s.example\", region: r, bucket: bbb, credentials-file: c }";
    assert_eq!(said(http, "a"), "");
    assert!(said("", "a").contains("provisioning.text-messages.target: there is no target 'a': 'targets' is empty"));
    assert!(said(http, "b").contains("there is no target 'b' in 'targets', which has: a"));
    assert!(said(s3, "a").contains("target 'a' sends no text messages: name one that speaks http or smpp"));
}
