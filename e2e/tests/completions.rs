//! `lambent completions`, read by the shell that completes.

use std::process::Command;

use lambent_e2e::{Lambent, Run};

#[test]
fn each_shell_has_a_script() {
    let lambent = Lambent::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = lambent.run(["completions", shell]);
        assert_eq!(run.status, 0, "{run:?}");
        for part in ["host-shell", "environments", "lambent"] {
            assert!(run.stdout.contains(part), "{shell}: {part}");
        }
        // Its own processes are not for people.
        for hidden in ["__launcher", "__probe", "__transform"] {
            assert!(!run.stdout.contains(hidden), "{shell}: {hidden}");
        }
    }
    let run = lambent.run(["completions", "tcsh"]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("fish, powershell, zsh"), "{run:?}");
    let run = lambent.run(["completions"]);
    assert_eq!(run.status, 2, "{run:?}");
}

#[test]
fn bash_completes_commands_and_options() {
    let lambent = Lambent::new();
    let script = lambent.root().join("lambent.bash");
    let run = lambent.run(["completions", "bash"]);
    std::fs::write(&script, run.stdout).expect("a script");
    for (words, current, expected) in [
        ("lambent val", 1, "validate"),
        ("lambent image pr", 2, "prune"),
        ("lambent invoke --host", 2, "--host-shell"),
        ("lambent validate --output sar", 3, "sarif"),
    ] {
        let last = words.split(' ').next_back().unwrap_or_default();
        let code = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={current}; \
             _lambent lambent {last} {}; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            words.split(' ').nth(current - 1).unwrap_or_default()
        );
        let output = Command::new("bash").args(["-c", &code]).output();
        let run: Run = output.expect("bash runs").into();
        assert_eq!(run.stdout, format!("{expected}\n"), "{words}: {run:?}");
    }
}
