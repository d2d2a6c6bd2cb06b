"""Devices by name: common browsers are told apart, and strangers' texts stay short."""

from __future__ import annotations

import pytest

from flask_dify_oauth.access.devices import device_of

LIKE = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
         "Firefox, Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64) {LIKE} Chrome/140.0 Safari/537.36",
         "Chrome, Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {LIKE} Chrome/140.0 Safari/537.36 Edg/140.0",
         "Edge, Windows"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {IOS} Version/18.1 Safari/605.1.15",
         "Safari, macOS"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {IOS} Version/18.1 Mobile/15E148"
         " Safari/604.1", "Safari, iPhone"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {IOS} CriOS/140.0 Mobile/15E148"
         " Safari/604.1", "Chrome, iPhone"),
        (f"Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) {IOS} FxiOS/140.0 Mobile/15E148"
         " Safari/604.1", "Firefox, iPad"),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {LIKE} Chrome/140.0 Mobile Safari/537.36",
         "Chrome, Android"),
        (f"Mozilla/5.0 (Linux; Android 15) {LIKE} SamsungBrowser/27.0 Chrome/125.0 Mobile"
         " Safari/537.36", "Samsung Internet, Android"),
        (f"Mozilla/5.0 (Linux; Android 15) {LIKE} Version/4.0 Chrome/130.0 Mobile Safari/537.36"
         " MicroMessenger/8.0.50", "WeChat, Android"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 16000.0.0) {LIKE} Chrome/140.0 Safari/537.36",
         "Chrome, ChromeOS"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32.3", "python-requests"),
        ("Mozilla/5.0", ""),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("x" * 200 + "/1", ""),
    ],
)  # fmt: skip
def test_devices(agent: str, device: str) -> None:
    assert str(device_of(agent)) == device
