//! The pages in a real browser: sorting, values under the pointer, no request to anywhere, and readable on every screen.
//!
//! `VIFBENCH_SHOTS=FOLDER` keeps pictures of what was tested.

mod browser;
mod synthetic;

use std::path::{Path, PathBuf};

use browser::Browser;
use serde_json::{Value, json};
use synthetic::World;
use vifbench_reports::{analyze_run, history, render};
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::units::Span;
use vifbench_testing::{Need, needs};

const PHONE: (u32, u32) = (390, 844);
const DESK: (u32, u32) = (1280, 900);

fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let world = World {
        rates: vec![200, 2000],
        blocks: 3,
        warmup: Span::from_millis(20),
        duration: Span::from_millis(200),
        ..World::default()
    };
    world.write(folder.path());
    let index = render(folder.path(), &Silent).unwrap().index;
    (folder, index)
}

fn shots() -> Option<PathBuf> {
    std::env::var_os("VIFBENCH_SHOTS").map(PathBuf::from)
}

/// The texts of a column of the first table in a section.
fn column(browser: &mut Browser, section: &str, n: usize) -> Vec<String> {
    let texts = browser.run(&format!(
        "Array.from(document.querySelectorAll('#{section} table')[0].tBodies[0].rows, r => r.cells[{n}].textContent)"
    ));
    serde_json::from_value(texts).unwrap()
}

/// The middle of an element, scrolled into view.
fn middle(browser: &mut Browser, selector: &str) -> (f64, f64) {
    let place = browser.run(&format!(
        "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center', inline: 'center'}}); \
         const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
    ));
    serde_json::from_value(place).unwrap()
}

#[test]
fn tables_are_sorted_by_what_is_pressed() {
    needs!(Need::Browser);
    let mut browser = Browser::start();
    let (_folder, index) = written();
    browser.open(&index, DESK.0, DESK.1);
    // Units count, signs count, and what has no value stays last either way.
    browser.run(
        "Array.from(document.querySelectorAll('#results table')[0].tBodies[0].rows).forEach((row, i) => { \
         const text = ['2.00 µs', '–', '900 ns', '−1.50 ms', '1\\u202f500\\u202f000 ns'][i]; \
         if (text) row.cells[7].textContent = text; else row.remove(); })",
    );
    let mut press = || {
        let (x, y) = middle(&mut browser, "#results thead th:nth-child(8) button.sort");
        browser.mouse(x, y, true);
        column(&mut browser, "results", 7)
    };
    let long = "1\u{202f}500\u{202f}000 ns";
    assert_eq!(press(), ["−1.50 ms", "900 ns", "2.00 µs", long, "–"]);
    assert_eq!(press(), [long, "2.00 µs", "900 ns", "−1.50 ms", "–"]);
    assert_eq!(
        browser.run("document.querySelector('#results thead th:nth-child(8)').ariaSort"),
        json!("descending")
    );
    // Words are sorted as words, and the rows stay whole.
    let (x, y) = middle(&mut browser, "#trials thead th:nth-child(3) button.sort");
    browser.mouse(x, y, true);
    let variants = column(&mut browser, "trials", 2);
    assert!(variants.is_sorted(), "{variants:?}");
    assert_eq!((variants[0].as_str(), variants.len()), ("shadow", 12));
}

#[test]
fn a_figure_tells_its_values_under_the_pointer() {
    needs!(Need::Browser);
    let mut browser = Browser::start();
    let (_folder, index) = written();
    for (width, height) in [DESK, PHONE] {
        browser.open(&index, width, height);
        assert_eq!(
            browser.run("document.querySelector('#tip').hidden"),
            json!(true)
        );
        // A point of the first curve, as the page itself says; where it lies on the screen the browser says.
        let place = browser.run(
            "(() => { const svg = document.querySelector('#figure-delay-cdf svg'); \
             const data = document.querySelector(\"script[data-figure='delay-cdf']\"); \
             const p = JSON.parse(data.textContent)[0].series[0].points[30]; \
             svg.scrollIntoView({block: 'center'}); \
             const at = new DOMPoint(p[0], p[1]).matrixTransform(svg.getScreenCTM()); return [at.x, at.y, p[2], p[3]]; })()",
        );
        let (x, y, vx, vy): (f64, f64, String, String) = serde_json::from_value(place).unwrap();
        browser.mouse(x, y, false);
        let tip = browser.run("document.querySelector('#tip').innerText");
        let tip = tip.as_str().unwrap();
        assert!(
            tip.contains(&vx) && tip.contains(&vy),
            "{tip:?}: {vx}, {vy}"
        );
        assert!(tip.contains("one-way delay"), "{tip:?}");
        let inside = browser.run(
            "(() => { const r = document.querySelector('#tip').getBoundingClientRect(); \
             return r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight; })()",
        );
        assert_eq!(inside, json!(true), "the values leave the screen");
        if let (Some(folder), true) = (shots(), width == DESK.0) {
            browser.keep(
                "Page.captureScreenshot",
                &json!({}),
                &folder.join("hover.png"),
            );
        }
        browser.mouse(1.0, 1.0, false);
        assert_eq!(
            browser.run("document.querySelector('#tip').hidden"),
            json!(true)
        );
    }
}

/// What a page must hold to on every screen.
fn holds_to_its_rules(browser: &mut Browser, index: &Path, name: &str) {
    for (screen, (width, height)) in [("phone", PHONE), ("desk", DESK)] {
        browser.open(index, width, height);
        let wide = browser.run("document.documentElement.scrollWidth - innerWidth");
        assert!(
            wide.as_i64().unwrap() <= 0,
            "{name}: the page is {wide} pixels wider than a {screen}"
        );
        let loaded = browser.run("performance.getEntriesByType('resource').map(e => e.name)");
        assert_eq!(loaded, json!([]), "{name}: loads something");
        let broken = browser.run(
            "Array.from(document.querySelectorAll(\"a[href^='#']\"), a => a.getAttribute('href').slice(1))\
             .filter(id => !document.getElementById(id))",
        );
        assert_eq!(broken, json!([]), "{name}: links to nothing");
        for scheme in ["light", "dark"] {
            browser.ask(
                "Emulation.setEmulatedMedia",
                &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
            );
            let contrast = browser.run(CONTRAST);
            assert!(
                contrast.as_f64().unwrap() >= 4.5,
                "{name}, {scheme}: contrast of {contrast}"
            );
            if let Some(folder) = shots() {
                let path = folder.join(format!("{name}-{screen}-{scheme}.png"));
                let params = json!({"captureBeyondViewport": false});
                browser.keep("Page.captureScreenshot", &params, &path);
            }
        }
    }
    if let Some(folder) = shots() {
        let path = folder.join(format!("{name}-print.pdf"));
        browser.keep("Page.printToPDF", &json!({"printBackground": true}), &path);
    }
}

/// Of ordinary and of pale text against the page, after WCAG.
const CONTRAST: &str = "(() => { \
    const light = c => { const [r, g, b] = c.match(/\\d+/g).map(v => { v /= 255; \
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
    const page = light(getComputedStyle(document.body).backgroundColor); \
    return Math.min(...['body', 'footer', '.over'].map(s => { const ink = light(getComputedStyle(document.querySelector(s)).color); \
        return (Math.max(page, ink) + 0.05) / (Math.min(page, ink) + 0.05); })); })()";

#[test]
fn a_report_is_for_every_screen() {
    needs!(Need::Browser);
    let mut browser = Browser::start();
    let (_folder, index) = written();
    holds_to_its_rules(&mut browser, &index, "report");
}

#[test]
fn the_index_of_all_nights_is_for_every_screen() {
    needs!(Need::Browser);
    let mut browser = Browser::start();
    let (folder, _) = written();
    let summary = analyze_run(folder.path(), &Silent).unwrap();
    let out = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(vifbench_store::history_folder(out.path())).unwrap();
    for night in 1..=24 {
        let mut of = summary.clone();
        of.run = format!("night-{night:02}");
        of.started = format!("2026-10-{night:02}T01:00:00Z");
        if night > 12 {
            of.ruler = "another".to_owned();
            for trial in &mut of.trials {
                let total = trial.total.as_mut().unwrap();
                total.delay.as_mut().unwrap().p50 += 5000 + i64::from(night % 3);
            }
        }
        history::record(out.path(), &of).unwrap();
    }
    let read = history::read(out.path()).unwrap();
    let index = history::write_page(out.path(), &read).unwrap();
    holds_to_its_rules(&mut browser, &index, "history");
    assert_eq!(column(&mut browser, "runs", 0).len(), 24);
    let changes = column(&mut browser, "changes", 0);
    assert!(changes.iter().all(|day| day == "2026-10-13"), "{changes:?}");
    assert!(!changes.is_empty());
    assert!(
        column(&mut browser, "changes", 6)
            .iter()
            .all(|ruler| ruler == "changed too")
    );
    let drawn = browser.run("document.querySelectorAll('svg.spark .change').length");
    assert_eq!(drawn, json!(changes.len()));
}

/// The policy lets in the page's own script, and no other.
#[test]
fn no_other_script_runs() {
    needs!(Need::Browser);
    let mut browser = Browser::start();
    let (folder, index) = written();
    browser.open(&index, DESK.0, DESK.1);
    assert_eq!(
        browser.run("document.querySelectorAll('button.sort').length > 10"),
        json!(true)
    );
    let page = std::fs::read_to_string(&index).unwrap();
    let other = folder.path().join("report/other.html");
    let script = "<script>document.title = 'taken'</script></body>";
    std::fs::write(&other, page.replace("</body>", script)).unwrap();
    browser.open(&other, DESK.0, DESK.1);
    let title: Value = browser.run("document.title");
    assert_ne!(title, json!("taken"));
}
