"""Our table of questions against that of the server, which was written from sources.md, 1.3, apart from it."""

from medimagenet.sources.tcia_endpoints import ENDPOINTS, OLDER_PARAMETERS, VERSIONS
from tests.sources.nbia_server import REQUIRED, V4_PARAMETERS


def test_the_table_has_the_parameters_that_version_4_takes():  # 1.3
    for name, parameters in V4_PARAMETERS.items():
        endpoint = ENDPOINTS[name]
        assert {*endpoint.required, *endpoint.optional} == set(parameters), name
        assert set(REQUIRED.get(name, ())) <= set(endpoint.required), name


def test_older_names_are_of_questions_and_parameters_that_there_are():
    for (name, parameter), older in OLDER_PARAMETERS.items():
        assert parameter in (*ENDPOINTS[name].required, *ENDPOINTS[name].optional)
        assert older != parameter
    assert all(set(endpoint.versions) <= set(VERSIONS) for endpoint in ENDPOINTS.values())
