//! README's story of cats and dogs, its very commands, on a small network and few pictures.

use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use wizen::io::StoredType;

use crate::cli::text;
use crate::resnet_cli::checkpoint;

/// The commands between README's marks, one a line.
fn commands() -> Vec<String> {
    let readme = include_str!("../README.md");
    let (_, rest) = readme
        .split_once("<!-- story -->")
        .expect("README tells it");
    let (story, _) = rest.split_once("<!-- /story -->").expect("and ends it");
    let commands = story.lines().filter_map(|line| line.strip_prefix("wizen "));
    commands.map(str::to_owned).collect()
}

/// Warm pictures are cats, cold ones dogs.
fn picture(path: &Path, cat: bool, shade: u8) {
    let colour = if cat {
        [200, shade, 30]
    } else {
        [30, shade, 200]
    };
    let mut image = RgbImage::from_pixel(32, 32, Rgb(colour));
    for i in 0..16 {
        image.put_pixel(
            i + u32::from(shade) % 16,
            i,
            Rgb([shade, 255 - shade, shade]),
        );
    }
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    image.save(path).expect("writable");
}

#[test]
fn readmes_story_ends_with_the_right_names() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (set, n) in [("train", 16), ("val", 4)] {
        for (name, cat) in [("cat", true), ("dog", false)] {
            for i in 0..n {
                let path = format!("pictures/{set}/{name}/{i}.png");
                picture(&dir.path().join(path), cat, 60 + 8 * i);
            }
        }
    }
    picture(&dir.path().join("photo.jpg"), false, 77);
    let file = checkpoint(dir.path(), "resnet18.safetensors", StoredType::F32, true);
    assert!(text(&file).ends_with("resnet18.safetensors"));
    let commands = commands();
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        // Fewer pictures than a batch has, and shorter runs than real ones need larger steps.
        let command = command
            .replace("--lr 1e-4", "--lr 3e-3")
            .replace("--lr 3e-4", "--lr 3e-3")
            .replace("--batch 32", "--batch 8 --shift 0")
            .replace("--crop 96", "--crop 32");
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--json");
        let output = Command::new(env!("CARGO_BIN_EXE_wizen"))
            .args(&args)
            .current_dir(dir.path())
            .env("WIZEN_CACHE", "off")
            .output()
            .expect("the binary was built");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stderr}");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        match args[0] {
            "predict" => {
                let first = &json["predictions"][0]["classes"][0];
                assert_eq!(first["label"], "dog", "{command}: {json}");
            }
            "prune" => assert!(
                json["macs_after"].as_u64() < json["macs_before"].as_u64(),
                "{json}"
            ),
            _ => assert_eq!(json["accuracy"], 1.0, "{command}: {json}"),
        }
    }
}
