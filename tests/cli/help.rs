//! The help of every command, in one picture.

use crate::support::Home;

#[test]
fn the_help_of_every_command() {
    fn walk(home: &Home, command: &clap::Command, path: &[String], text: &mut String) {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let ran = home.run(&args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        // Whoever asks for help wants to know what it is for, and how it is typed.
        let (about, _) = ran.stdout.split_once("Usage:").expect("how it is used");
        assert!(about.trim().len() > 10, "{args:?} is not described");
        let example = ran
            .stdout
            .split_once("Example")
            .map_or("", |(_, rest)| rest);
        assert!(example.contains("prefect-rs"), "{args:?} has no example");
        text.push_str(&format!(
            "$ prefect-rs {}\n{}\n",
            args.join(" "),
            ran.stdout
        ));
        for subcommand in command.get_subcommands() {
            let mut path = path.to_vec();
            path.push(subcommand.get_name().to_owned());
            walk(home, subcommand, &path, text);
        }
    }
    let mut text = String::new();
    walk(&Home::new(), &prefect_rs::cli::command(), &[], &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_misspelt_command_is_told_the_right_one() {
    let ran = Home::new().run(&["work-queu", "ls"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("'work-queue'"), "{}", ran.stderr);
}

#[test]
fn help_is_a_word_as_well() {
    let home = Home::new();
    for (words, option) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "flow-run", "ls"], &["flow-run", "ls", "--help"]),
        (&["flow-run", "help"], &["flow-run", "--help"]),
    ] {
        let (said, meant) = (home.run(words), home.run(option));
        assert_eq!((said.code, said.stdout), (0, meant.stdout));
    }
}

#[test]
fn completions_know_the_nouns_and_their_verbs() {
    let home = Home::new();
    let scripts = ["bash", "zsh", "fish"].map(|shell| home.run(&["completions", shell]));
    for ran in &scripts {
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("work-queue"));
    }
    // What bash itself makes of it, for each word that is typed.
    let file = home.path().join("completions");
    std::fs::write(&file, &scripts[0].stdout).unwrap();
    let complete = |words: &str, last: &str| {
        let script = format!(
            "source {}\nCOMP_WORDS=({words} '{last}'); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             function=$(complete -p prefect-rs | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); \
             $function prefect-rs '{last}' ''; echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(complete("prefect-rs", "flow-"), "flow-run");
    assert_eq!(complete("prefect-rs flow-run", "lo"), "logs");
    assert_eq!(complete("prefect-rs deployment schedule", "cr"), "create");
    assert_eq!(complete("prefect-rs server start", "--po"), "--port");
    // What is for our own programs is offered to nobody.
    assert_eq!(complete("prefect-rs agent", ""), "-h --help start");
}
