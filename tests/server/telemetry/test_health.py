"""Tests of the detailed health report."""

from tests.openapi_checks import CheckedClient


def test_details_are_in_the_language_of_the_reader(client: CheckedClient) -> None:
    def details(language: str) -> dict[str, str]:
        answer = client.get("/api/v1/health/details", headers={"Accept-Language": language})
        return {name: check["detail"] for name, check in answer.json()["checks"].items()}

    english, chinese = details("en"), details("zh-CN")
    assert (english["database"], chinese["database"]) == ("answers", "响应正常")
    assert english["uploads"].startswith("writable, ")
    assert chinese["uploads"].startswith("可写，剩余 ")
    assert chinese["migrations"] == "当前 {}，应为 {}".format(
        *english["migrations"].removeprefix("at ").split(", expected ")
    )
