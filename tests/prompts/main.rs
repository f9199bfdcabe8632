//! That prompts are understood which use none of the listed words, on lists that nothing was fitted on.

use std::fs;

use gstflowvid::{
    editors::looks::{Looks, Understanding},
    torch::Placement,
    weights::Component,
};

#[path = "../common/mod.rs"]
mod common;

const EDITOR: &str = "models/nano/editor";

fn looks() -> Looks {
    let editor = Component::open(common::project(EDITOR)).expect("the embedded model's editor");
    Looks::open(&editor, Placement::cpu()).expect("the embedded model's looks")
}

/// A list's lines without its comments.
fn list(name: &str) -> Vec<String> {
    let text = fs::read_to_string(common::project("tests/prompts").join(name)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(Into::into).collect()
}

/// Names and shares, the greatest share first.
fn found<'a>(looks: &'a Looks, understood: &Understanding) -> Vec<(&'a str, f64)> {
    let mut found = looks.describe(&understood.look);
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    found
}

/// How many of `name`'s prompts give their look, that look leads its stage and no other stage has one; prints a table.
fn right(looks: &Looks, name: &str) -> (usize, usize) {
    let prompts = list(name);
    let mut right = 0;
    println!("| prompt | asks for | gives |\n|---|---|---|");
    for line in &prompts {
        let (expected, prompt) = line.split_once(": ").expect("look: prompt");
        let found = found(looks, &looks.understand(prompt, ""));
        let whole: f64 = found.iter().map(|(_, share)| share).sum();
        let is_right = found.first().is_some_and(|(look, _)| *look == expected) && whole < 1.001;
        right += usize::from(is_right);
        let gives: Vec<_> = found.iter().map(|(look, share)| format!("{look} {share:.2}")).collect();
        println!("| {prompt} | {expected} | {}{} |", if is_right { "" } else { "**" }, gives.join(", "));
    }
    println!("{name}: {right} of {}", prompts.len());
    (right, prompts.len())
}

#[test]
fn four_of_five_paraphrases_give_their_look() {
    let looks = looks();
    for name in ["held_out.txt", "held_out_2.txt", "held_out_3.txt"] {
        let (right, all) = right(&looks, name);
        assert_eq!(all, 60);
        assert!(right * 5 >= all * 4, "{name}: {right} of {all}");
    }
}

#[test]
fn prompts_without_a_look_leave_the_frames_alone() {
    let looks = looks();
    for name in ["no_look.txt", "no_look_2.txt", "no_look_3.txt"] {
        let prompts = list(name);
        assert!(prompts.len() >= 30);
        let wrong: Vec<_> = prompts
            .iter()
            .map(|prompt| (prompt, found(&looks, &looks.understand(prompt, ""))))
            .filter(|(_, found)| !found.is_empty())
            .collect();
        println!("{name}: {} of {}: {wrong:?}", wrong.len(), prompts.len());
        assert!(wrong.len() * 10 <= prompts.len(), "{name}: {wrong:?}");
    }
}

/// Wrong now and then: a word alone does not tell whether it is meant as a thing.
#[test]
fn prompts_that_ask_for_things_seldom_give_a_look() {
    let looks = looks();
    let wrong: Vec<_> = list("things_2.txt")
        .into_iter()
        .filter(|prompt| !looks.understand(prompt, "").look.is_empty())
        .collect();
    println!("things_2.txt: {wrong:?}");
    assert!(wrong.len() <= 1, "{wrong:?}");
}

/// Chance adds up over two hundred words, the prompt says no more for it.
#[test]
fn a_long_prompt_without_a_look_leaves_the_frames_alone() {
    let looks = looks();
    let lookless = [list("no_look.txt"), list("no_look_2.txt")].concat();
    let quiet = lookless.into_iter().filter(|prompt| looks.understand(prompt, "").look.is_empty());
    let text = quiet.collect::<Vec<_>>().join(" and ");
    assert!(text.split_whitespace().count() > 200, "{text}");
    let found = found(&looks, &looks.understand(&text, ""));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn who_asks_for_things_is_told_of_a_model_that_draws_them() {
    let looks = looks();
    let names_it = |prompt: &String| {
        let warnings = looks.understand(prompt, "").warnings.join("\n");
        warnings.contains("cannot draw things") && warnings.contains("make models MODEL=sd15")
    };
    let (told, silent): (Vec<_>, Vec<_>) = list("things.txt").into_iter().partition(names_it);
    assert!(told.len() >= 14, "not told: {silent:?}");
    let lookless = list("no_look.txt");
    let told: Vec<_> = lookless.into_iter().filter(names_it).collect();
    assert!(told.len() <= 2, "told without need: {told:?}");
}

/// The number above would say little if the answers stood in the list.
#[test]
fn the_list_alone_knows_none_of_the_paraphrases() {
    let root = tempfile::tempdir().unwrap();
    fs::copy(common::project(EDITOR).join("config.json"), root.path().join("config.json")).unwrap();
    let editor = Component::open(root.path().into()).unwrap();
    let listed = Looks::open(&editor, Placement::cpu()).expect("a folder without a table works as well");
    let (right, _) = right(&listed, "held_out.txt");
    assert!(right <= 2, "{right}");
}
