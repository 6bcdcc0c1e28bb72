//! Keys in a hardware module: SoftHSM's tokens, and a module between that does what devices do when they fail.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;
use sigillo_trust::token::CALLS_MAX;
use sigillo_trust::{ObjectName, SigningKey, TokenName, TokenPlace};
use support::{CONTENT, message, now, pki, verify_message};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "1234";

/// Stands between us and SoftHSM. While the file TOKEN_STUCK is there, signing never comes back; while TOKEN_GONE is,
/// the device is removed; while TOKEN_WRONG is, the signature is altered. 44 is the place of C_Sign in the list of
/// functions (PKCS #11 §5).
const BETWEEN: &str = r#"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *list[70];
static unsigned long (*sign)(unsigned long, void *, unsigned long, unsigned char *, unsigned long *);
static int is(const char *name) { return access(getenv(name), F_OK) == 0; }
static unsigned long between(unsigned long s, void *d, unsigned long n, unsigned char *o, unsigned long *l) {
  while (is("TOKEN_STUCK")) usleep(10000);
  if (is("TOKEN_GONE")) return 0x32;
  unsigned long rv = sign(s, d, n, o, l);
  if (o && !rv && is("TOKEN_WRONG")) o[20] ^= 1;
  return rv;
}
unsigned long C_GetFunctionList(void ***out) {
  void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW);
  unsigned long (*get)(void ***) = (unsigned long (*)(void ***))dlsym(module, "C_GetFunctionList");
  void **real;
  unsigned long rv = get(&real);
  memcpy(list, real, 69 * sizeof(void *));
  sign = (unsigned long (*)(unsigned long, void *, unsigned long, unsigned char *, unsigned long *))real[44];
  list[44] = (void *)between;
  *out = list;
  return rv;
}
"#;

/// A folder with a token `pec` that holds the keys `provider` (RSA, id 01) and `curve` (P-256, id 02).
struct Hsm {
    dir: PathBuf,
}

/// SoftHSM finds its tokens by a variable of the environment, and a module is initialised once in a process: so each
/// test runs in a process of its own. The outer one gets nothing, when the inner one has succeeded.
fn hsm(test: &str) -> Option<Hsm> {
    // Beside the infrastructure, which each process would make anew.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tokens").join(test);
    if std::env::var_os("SOFTHSM2_CONF").is_some_and(|path| path == *dir.join("softhsm2.conf")) {
        return Some(Hsm { dir });
    }
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("tokens")).unwrap();
    let conf =
        format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", dir.display());
    std::fs::write(dir.join("softhsm2.conf"), conf).unwrap();
    let hsm = Hsm { dir };
    hsm.tool("softhsm2-util", &format!("--init-token --free --label pec --pin {PIN} --so-pin 5678"));
    for (name, id) in [("provider", "01"), ("curve", "02")] {
        let (key, pem) = (hsm.dir.join(name), pki().dir.join(format!("{name}.key")));
        pki().run(&format!("pkcs8 -topk8 -nocrypt -in {} -out {}", pem.display(), key.display()));
        hsm.tool(
            "softhsm2-util",
            &format!("--import {} --token pec --label {name} --id {id} --pin {PIN}", key.display()),
        );
        std::fs::remove_file(key).unwrap();
    }
    hsm.file("pin", PIN, 0o600);
    std::fs::write(hsm.dir.join("between.c"), BETWEEN).unwrap();
    hsm.tool("cc", "-shared -fPIC -o between.so between.c -ldl");
    for name in ["provider.pem", "curve.pem", "beta.pem", "authority.pem", "root.pem"] {
        std::fs::copy(pki().dir.join(name), hsm.dir.join(name)).unwrap();
    }
    let mut again = hsm.command(std::env::current_exe().unwrap());
    let done = again.args(["--exact", test, "--nocapture", "--test-threads=1"]).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    None
}

impl Hsm {
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("SOFTHSM2_CONF", self.dir.join("softhsm2.conf"));
        for name in ["STUCK", "GONE", "WRONG"] {
            command.env(format!("TOKEN_{name}"), self.dir.join(name));
        }
        command
    }

    fn tool(&self, program: &str, words: &str) {
        let done = self.command(program).args(words.split_whitespace()).output().unwrap();
        assert!(done.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.dir.join(name), text).unwrap();
        std::fs::set_permissions(self.dir.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn place(&self, module: &Path, object: &str) -> TokenPlace {
        TokenPlace {
            module: module.to_owned(),
            token: TokenName::Label("pec".into()),
            object: ObjectName::Label(object.into()),
            pin_file: self.dir.join("pin"),
        }
    }

    fn load(&self, place: TokenPlace, certificate: &str) -> SigningKey {
        let read = |name: &str| std::fs::read(self.dir.join(name)).unwrap();
        SigningKey::in_token(place, &read(&format!("{certificate}.pem")), &read("authority.pem")).unwrap()
    }

    fn key(&self, name: &str) -> SigningKey {
        self.load(self.place(Path::new(SOFTHSM), name), name)
    }

    /// The key `provider` through the module between.
    fn through(&self) -> SigningKey {
        self.load(self.place(&self.dir.join("between.so"), "provider"), "provider")
    }

    fn set(&self, what: &str, on: bool) {
        match on {
            true => std::fs::write(self.dir.join(what), "").unwrap(),
            false => std::fs::remove_file(self.dir.join(what)).unwrap(),
        }
    }
}

fn sign(key: &SigningKey) -> Result<Vec<u8>, String> {
    key.sign_detached(&Rope::from_bytes(CONTENT), &NoSource, now()).map_err(|error| error.to_string())
}

#[test]
fn openssl_and_we_verify_what_a_token_signed() {
    let Some(hsm) = hsm("openssl_and_we_verify_what_a_token_signed") else { return };
    let anchors = sigillo_trust::Anchors::load(&std::fs::read(hsm.dir.join("root.pem")).unwrap()).unwrap();
    for name in ["provider", "curve"] {
        let key = hsm.key(name);
        key.probe().unwrap();
        let whole = message(CONTENT, &sign(&key).unwrap());
        std::fs::write(hsm.dir.join("signed.eml"), &whole).unwrap();
        hsm.tool("openssl", "cms -verify -in signed.eml -CAfile root.pem -out signed.out");
        assert_eq!(std::fs::read(hsm.dir.join("signed.out")).unwrap(), CONTENT);
        let found = verify_message(&whole, &anchors, now());
        assert_eq!((found.intact, found.trusted, found.problem), (true, true, None), "{name}");
    }
}

#[test]
fn a_token_and_a_key_are_found_by_each_of_their_names() {
    let Some(hsm) = hsm("a_token_and_a_key_are_found_by_each_of_their_names") else { return };
    let place = |token, object| TokenPlace { token, object, ..hsm.place(Path::new(SOFTHSM), "") };
    let pec = || TokenName::Label("pec".into());
    let slots = hsm.command("softhsm2-util").arg("--show-slots").output().unwrap();
    let slots = String::from_utf8_lossy(&slots.stdout).into_owned();
    let serial = slots.lines().find_map(|line| line.trim().strip_prefix("Serial number:")).unwrap().trim().to_owned();
    let slot = slots.lines().find_map(|line| line.strip_prefix("Slot ")).unwrap().trim().parse().unwrap();
    for token in [pec(), TokenName::Serial(serial), TokenName::Slot(slot)] {
        let key = hsm.load(place(token, ObjectName::Id(vec![1])), "provider");
        key.probe().unwrap();
    }
    let problem = |place, certificate: &str| hsm.load(place, certificate).probe().unwrap_err().to_string();
    let said = problem(place(TokenName::Label("other".into()), ObjectName::Id(vec![1])), "provider");
    assert_eq!(said, format!("token 'other' of {SOFTHSM} is not there"));
    let said = problem(place(pec(), ObjectName::Label("nothing".into())), "provider");
    assert_eq!(said, format!("token 'pec' of {SOFTHSM} has no private key of that name"));
    // The certificate of another key: found by signing and verifying.
    let said = problem(place(pec(), ObjectName::Id(vec![1])), "beta");
    assert_eq!(said, "the key in the token is not the certificate's: its signature does not verify");
    let text = std::fs::read(hsm.dir.join("provider.pem")).unwrap();
    let none = TokenPlace { module: hsm.dir.join("none.so"), ..hsm.place(Path::new(SOFTHSM), "") };
    let said = SigningKey::in_token(none, &text, b"").unwrap_err().to_string();
    assert!(said.contains("none.so: not a usable PKCS #11 module"), "{said}");
}

#[test]
fn a_wrong_pin_is_shown_once() {
    let Some(hsm) = hsm("a_wrong_pin_is_shown_once") else { return };
    let key = hsm.key("provider");
    hsm.file("pin", "9999", 0o600);
    assert!(sign(&key).unwrap_err().contains("refused the PIN of"));
    for _ in 0..5 {
        assert!(sign(&key).unwrap_err().contains("not shown again until it is another"));
    }
    hsm.file("pin", "1234\n", 0o640);
    assert!(sign(&key).unwrap_err().contains("others may read this PIN; run: chmod 600"));
    hsm.file("pin", "1234\n", 0o600);
    sign(&key).unwrap();
}

#[test]
fn a_lost_session_is_opened_anew_once() {
    let Some(hsm) = hsm("a_lost_session_is_opened_anew_once") else { return };
    let key = hsm.through();
    sign(&key).unwrap();
    hsm.set("GONE", true);
    let said = sign(&key).unwrap_err();
    assert!(said.contains("cannot sign"), "{said}");
    hsm.set("GONE", false);
    sign(&key).unwrap();
    // The device itself: its store is moved away and comes back.
    let (there, away) = (hsm.dir.join("tokens"), hsm.dir.join("tokens-away"));
    std::fs::rename(&there, &away).unwrap();
    std::fs::create_dir(&there).unwrap();
    let said = sign(&key).unwrap_err();
    std::fs::remove_dir(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    sign(&key).unwrap_or_else(|error| panic!("{said}, and then {error}"));
}

#[test]
fn a_wrong_signature_never_leaves() {
    let Some(hsm) = hsm("a_wrong_signature_never_leaves") else { return };
    let key = hsm.through();
    hsm.set("WRONG", true);
    assert!(sign(&key).unwrap_err().contains("does not verify"));
    hsm.set("WRONG", false);
    sign(&key).unwrap();
}

#[test]
fn a_stuck_module_holds_a_bounded_number_of_calls() {
    let Some(hsm) = hsm("a_stuck_module_holds_a_bounded_number_of_calls") else { return };
    let key = hsm.through();
    hsm.set("STUCK", true);
    std::thread::scope(|scope| {
        let stuck: Vec<_> = (0..CALLS_MAX).map(|_| scope.spawn(|| sign(&key))).collect();
        // The calls beyond come back at once; until all others are inside, this one is stuck as well.
        let refused = (0..).find_map(|_| {
            let beyond = scope.spawn(|| sign(&key));
            std::thread::sleep(std::time::Duration::from_millis(20));
            beyond.is_finished().then(|| beyond.join().unwrap())
        });
        let said = refused.unwrap().unwrap_err();
        assert!(said.contains(&format!("{CALLS_MAX} calls have not come back")), "{said}");
        hsm.set("STUCK", false);
        let made = stuck.into_iter().map(|call| call.join().unwrap()).filter(Result::is_ok).count();
        assert!(made >= CALLS_MAX - 1, "{made}");
    });
    sign(&key).unwrap();
}
