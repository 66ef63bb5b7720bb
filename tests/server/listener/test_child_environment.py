from modelport.server.listener.children.child_environment import child_command, child_environment
from modelport.server.listener.declaration import Server

CONTRACT = {
    "AIP_HTTP_PORT": "8080",
    "PORT": "8080",
    "AIP_HEALTH_ROUTE": "/v1/models/m",
    "AIP_PREDICT_ROUTE": "/v1/models/m:predict",
    "AIP_STORAGE_URI": "/models",
    "MODELPORT_LISTENER_PORT": "8080",
    "MODELPORT_SERVER_WORKERS": "2",
    "HOME": "/home/somebody",
}


def test_a_child_has_a_port_and_routes_of_its_own_and_all_else_of_the_listener() -> None:
    server = Server("s", "http://127.0.0.1:8001", health="/ready")
    assert child_environment(server, CONTRACT) == {
        "AIP_HTTP_PORT": "8001",
        "PORT": "8001",
        "AIP_HEALTH_ROUTE": "/ready",
        "AIP_STORAGE_URI": "/models",
        "MODELPORT_SERVER_WORKERS": "2",
        "HOME": "/home/somebody",
    }


def test_a_child_on_a_unix_socket_is_told_no_port() -> None:
    assert not {"AIP_HTTP_PORT", "PORT"} & set(child_environment(Server("s", "unix:/s.sock"), CONTRACT))


def test_its_own_variables_win_and_may_refer_to_others() -> None:
    env = {"PORT": "9", "MODELS": "$(AIP_STORAGE_URI)/all", "FIRST": "$(MODELS)/first", "RAW": "$$(MODELS)"}
    found = child_environment(Server("s", "http://127.0.0.1:8001", env=env), CONTRACT)
    assert (found["PORT"], found["AIP_HTTP_PORT"]) == ("9", "8001")
    assert (found["MODELS"], found["FIRST"], found["RAW"]) == ("/models/all", "/models/all/first", "$(MODELS)")


def test_a_command_is_expanded_with_the_childs_variables() -> None:
    command = ("serve", "--dir=$AIP_STORAGE_URI", "--port=$(AIP_HTTP_PORT)", "$(UNKNOWN)", "$HOME")
    server = Server("s", "http://127.0.0.1:8001", command=command)
    expanded = child_command(server, child_environment(server, CONTRACT))
    assert expanded == ["serve", "--dir=/models", "--port=8001", "$(UNKNOWN)", "$HOME"]
