// Serves the page at "/" for people: files that are part of the program, and sample pictures that lie beside
// the checkpoint. The page uses the API as any client does, so nothing here knows of a model or a request.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "net/http.h"
#include "net/router.h"

namespace uhd {

// Returns true for what the page is made of, which needs no key: a browser cannot send one with an address.
bool is_page(std::string_view path);

// Adds the routes "/", "/page/" and "/page/samples/" to the router. `samples` may hold demo.json, which names
// a picture of the folder and a question about it: {"image", "question", "about"}. A folder without a
// readable demo.json offers no samples.
void add_page(Router& router, const std::filesystem::path& samples);

}  // namespace uhd
