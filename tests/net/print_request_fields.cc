// Prints the tables of request fields as docs/api.md holds them.
#include <cstdio>

#include "net/request_fields.h"

int main() { std::fputs(uhd::request_fields_page().c_str(), stdout); }
