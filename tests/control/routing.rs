//! What a switch that runs tells of its router.

use crate::lab::Lab;

#[test]
fn routes_and_legs_of_a_switch_that_runs_are_told() {
    let lab = Lab::new();
    let options = ["--leg", "br=10.0.0.1/24", "--route", "default,via=10.0.0.2"];
    let running = lab.start("lab", &["a"], &options);
    let told = lab.done("route show");
    let expected = "10.0.0.0/24 dev br proto kernel scope link src 10.0.0.1\n\
                    default via 10.0.0.2 dev br\n";
    assert_eq!(told, expected);
    assert_eq!(lab.done("route get 192.0.2.1"), "192.0.2.1 via 10.0.0.2 dev br\n");
    assert_eq!(lab.done("route get 10.0.0.1"), "local 10.0.0.1\n");
    assert_eq!(lab.done("leg show"), "br: mtu 1500\n    inet 10.0.0.1/24\n");
    assert_eq!(lab.json("leg show -j")[0]["addr_info"][0]["local"], "10.0.0.1");
    assert_eq!(lab.json("route show -j")[1]["gateway"], "10.0.0.2");
    for (words, code, sentence) in [
        ("route get fd00::1", 1, "there is no route to fd00::1"),
        ("route get 10.0.0", 2, "`10.0.0` is no address"),
        ("route", 2, "a word is missing"),
    ] {
        let (found, _, err) = lab.run(words);
        assert_eq!(found, code, "{words}: {err}");
        assert!(err.contains(sentence), "{words}: {err}");
    }
    // What runs is a file that says the same.
    assert!(lab.done("config").contains("[[leg]]\nbridge = \"br\"\naddress = [\"10.0.0.1/24\"]\n"));
    lab.end("lab", running);
}
