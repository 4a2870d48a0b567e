// Writes what `uhd plan --claims` and `uhd plan --strategies` found, for people, for programs and as a
// picture.
#pragma once

#include <string>
#include <vector>

#include "plan/paper_claims.h"
#include "plan/picture_strategies.h"

namespace uhd {

std::string claims_text(const std::vector<PaperClaim>& claims);
std::string claims_json(const std::vector<PaperClaim>& claims);  // one line

std::string strategies_text(Size picture, const std::vector<PictureCost>& rows);
std::string strategies_json(Size picture, const std::vector<PictureCost>& rows);  // one line
// Draws tokens and operations over sizes of this shape, and over shapes of this area, as SVG.
std::string strategies_picture(Size picture);

}  // namespace uhd
