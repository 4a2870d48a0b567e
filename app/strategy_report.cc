#include "app/strategy_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <sstream>

#include "app/chart.h"
#include "base/error.h"

namespace uhd {
namespace {

namespace json = boost::json;

std::string tera_text(const std::optional<double>& flops) {
  if (!flops) return "?";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", *flops / 1e12);
  return text;
}

json::value tera_value(const std::optional<double>& flops) {
  return flops ? json::value(*flops / 1e12) : json::value(nullptr);
}

std::string padded(const std::string& text, size_t width, bool right = false) {
  const std::string space(width > text.size() ? width - text.size() : 1, ' ');
  return right ? space + text : text + space;
}

// One chart: `pictures` gives a place on the x axis and a size for each point.
Chart chart_of(Chart chart, const std::vector<std::pair<double, Size>>& pictures,
               const std::function<double(const PictureCost&)>& value) {
  std::map<std::string, size_t> lines;
  for (const auto& [x, size] : pictures) {
    for (const PictureCost& cost : picture_costs(size)) {
      const auto [found, added] = lines.try_emplace(cost.system, chart.lines.size());
      if (added) chart.lines.push_back({cost.system, {}});
      chart.lines[found->second].points.emplace_back(x, value(cost));
    }
  }
  return chart;
}

}  // namespace

std::string claims_text(const std::vector<PaperClaim>& claims) {
  std::ostringstream text;
  text << "The claims of LLaVA-UHD (arXiv 2403.11703), computed by this program's plans and cost model.\n";
  for (const PaperClaim& claim : claims) {
    text << '\n' << claim.claim << ": " << claim.ours << '\n';
    if (!claim.published.empty()) text << "  published  " << claim.published << '\n';
    text << "  from       " << claim.derivation << '\n';
  }
  return text.str();
}

std::string claims_json(const std::vector<PaperClaim>& claims) {
  json::array list;
  for (const PaperClaim& claim : claims) {
    list.push_back(json::object{
        {"claim", claim.claim},
        {"published", claim.published.empty() ? json::value(nullptr) : json::value(claim.published)},
        {"ours", claim.ours},
        {"figure", claim.figure},
        {"derivation", claim.derivation}});
  }
  return json::serialize(json::object{{"claims", std::move(list)}});
}

std::string strategies_text(Size picture, const std::vector<PictureCost>& rows) {
  std::ostringstream text;
  text << "A picture of " << picture.width << 'x' << picture.height
       << " pixels. TFLOP: two operations a multiply-add; the language model is Vicuna 13B in each row.\n\n"
       << padded("system", 32) << padded("views", 7, true) << padded("seen", 13, true)
       << padded("tokens", 9, true) << padded("encode", 10, true) << padded("prefill", 10, true)
       << padded("TFLOP", 10, true) << "  source\n";
  for (const PictureCost& row : rows) {
    text << padded(row.system, 32) << padded(std::to_string(row.views), 7, true)
         << padded(message(row.seen.width, "x", row.seen.height), 13, true)
         << padded(std::to_string(row.tokens), 9, true) << padded(tera_text(row.encoder_flops), 10, true)
         << padded(tera_text(row.language_flops), 10, true) << padded(tera_text(row.flops()), 10, true)
         << "  " << row.source;
    if (!row.unknown.empty()) text << "; not found: " << row.unknown;
    text << '\n';
  }
  return text.str();
}

std::string strategies_json(Size picture, const std::vector<PictureCost>& rows) {
  json::array list;
  for (const PictureCost& row : rows) {
    list.push_back(
        json::object{{"system", row.system},
                     {"source", row.source},
                     {"views", row.views},
                     {"seen", {row.seen.width, row.seen.height}},
                     {"visual_tokens", row.tokens},
                     {"separators", row.separators},
                     {"encoder_tflop", tera_value(row.encoder_flops)},
                     {"language_tflop", tera_value(row.language_flops)},
                     {"tflop", tera_value(row.flops())},
                     {"not_found", row.unknown.empty() ? json::value(nullptr) : json::value(row.unknown)}});
  }
  return json::serialize(json::object{{"picture", {picture.width, picture.height}},
                                      {"language_model", "Vicuna 13B"},
                                      {"strategies", std::move(list)}});
}

std::string strategies_picture(Size picture) {
  const double ratio = static_cast<double>(picture.width) / static_cast<double>(picture.height);
  const double area = static_cast<double>(picture.width) * static_cast<double>(picture.height);
  const auto side = [](double length) { return std::clamp<int64_t>(std::llround(length), 1, 32768); };
  std::vector<std::pair<double, Size>> sizes, shapes;
  for (double longest = 224; longest <= 4096; longest *= std::pow(2, 0.125)) {
    sizes.emplace_back(longest, ratio >= 1 ? Size{side(longest), side(longest / ratio)}
                                           : Size{side(longest * ratio), side(longest)});
  }
  for (double shape = 1.0 / 6; shape <= 6.01; shape *= std::pow(6, 1.0 / 16)) {
    shapes.emplace_back(shape, Size{side(std::sqrt(area * shape)), side(std::sqrt(area / shape))});
  }
  const auto tokens = [](const PictureCost& cost) { return static_cast<double>(cost.tokens); };
  const auto tera = [](const PictureCost& cost) { return cost.flops().value_or(NAN) / 1e12; };
  const std::string of_size = "longest side, pixels", of_shape = "width / height";
  const Chart by_size{"Visual tokens by size", of_size, "tokens", true, true, {}};
  const Chart by_shape{"Visual tokens by shape, same area", of_shape, "tokens", true, true, {}};
  const Chart cost_by_size{"TFLOP by size", of_size, "TFLOP", true, true, {}};
  const Chart cost_by_shape{"TFLOP by shape, same area", of_shape, "TFLOP", true, true, {}};
  return draw_charts({chart_of(by_size, sizes, tokens), chart_of(by_shape, shapes, tokens),
                      chart_of(cost_by_size, sizes, tera), chart_of(cost_by_shape, shapes, tera)},
                     2);
}

}  // namespace uhd
