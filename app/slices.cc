// uhd slices shows how one image is cut, as text or JSON, and writes the pieces and a contact sheet of them
// as pictures.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "app/commands.h"
#include "app/contact_sheet.h"
#include "app/slice_report.h"
#include "app/usage_error.h"
#include "base/mapped_file.h"
#include "model/vision/png_writer.h"
#include "model/vision/slicer.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

struct SlicesOptions {
  std::string file;
  std::string model;
  std::string out;
  int max_slices = 0;
  int scale = 0;
  int patch = 0;
  int tokens = 0;
  int prescale = -1;
  bool json = false;
  bool plan_only = false;
  bool reference_compat = false;
};

// LLaVA-UHD v1 as the paper has it.
ModelConfig paper_model() {
  ModelConfig model;
  model.family = Family::llava_uhd_v1;
  model.vision.emplace();
  model.resampler = {.kind = ResamplerKind::perceiver, .queries = 64};
  model.layout.column_separator = {','};
  model.layout.row_separator = {'\n'};
  return model;
}

ModelConfig model_of(const SlicesOptions& options) {
  ModelConfig model = options.model.empty() ? paper_model() : read_model_config(options.model);
  require(model.vision.has_value(), options.model, " is a language model: it sees no images");
  if (options.max_slices > 0) model.slicing.max_slices = options.max_slices;
  if (options.scale > 0) model.slicing.scale = options.scale;
  if (options.patch > 0) model.slicing.patch = model.vision->patch = options.patch;
  if (options.prescale >= 0) model.slicing.prescale_longest = options.prescale;
  if (options.tokens > 0) {
    if (model.resampler.queries == 0) {
      throw UsageError("--tokens: this model makes its tokens of patches, without queries");
    }
    model.resampler.queries = options.tokens;
  }
  return model;
}

std::string write_picture(const fs::path& path, const Image& image) {
  std::ofstream file(path, std::ios::binary);
  file << encode_png(image);
  file.close();
  require(file.good(), path.string(), ": cannot be written");
  return path.string();
}

// Numbers have leading zeros, so that names in order are pieces in order.
std::string piece_name(const SlicePlan& plan, int index) {
  if (index == plan.slices()) return "overview.png";
  const std::string number = std::to_string(index + 1);
  const size_t digits = std::to_string(plan.slices()).size();
  return message("slice-", std::string(digits - number.size(), '0'), number, "-row", index / plan.columns + 1,
                 "-column", index % plan.columns + 1, ".png");
}

// The pieces, each in a file of its own, and the contact sheet of all.
void write_pictures(std::vector<Slice> slices, const fs::path& directory, SliceReport& report) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, directory.string(), ": cannot be made: ", error.message());
  std::vector<Image> pieces;
  for (Slice& slice : slices) {
    const auto index = static_cast<int>(pieces.size());
    pieces.push_back({slice.width, slice.height, std::move(slice.pixels)});
    report.pieces.push_back(write_picture(directory / piece_name(report.plan, index), pieces.back()));
  }
  const ContactSheet sheet{.title = fs::path(report.file).filename().string(),
                           .facts = report_sentences(report),
                           .words = layout_words(report.plan, report.model)};
  report.contact_sheet = write_picture(directory / "contact-sheet.png",
                                       draw_contact_sheet(pieces, report.plan, report.model, sheet));
}

// The library's words, and which file they are about.
SliceReport slice_file(const SlicesOptions& options) {
  const ImageLimits limits;
  SliceReport report{.file = options.file, .model = model_of(options)};
  const std::string bytes = read_text_file(options.file, static_cast<size_t>(limits.max_bytes));
  try {
    report.header = read_image_header(bytes, limits, options.reference_compat);
    report.plan = plan_image(report.header.oriented, report.model.slicing, limits);
    if (options.plan_only) return report;
    const fs::path directory =
        options.out.empty() ? fs::path(options.file).stem().string() + "-slices" : options.out;
    write_pictures(
        cut_encoded(bytes, limits, options.reference_compat, report.plan, report.model.slicing, ""),
        directory, report);
  } catch (const ImageError& error) {
    throw Error(message(options.file, ": ", error.what()));
  }
  return report;
}

void run_slices(const SlicesOptions& options) {
  const SliceReport report = slice_file(options);
  std::fputs((options.json ? report_json(report) + '\n' : report_text(report)).c_str(), stdout);
}

}  // namespace

void add_slices_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "slices", "Show how an image is cut, and write the slices and a sheet of them all as pictures");
  auto options = std::make_shared<SlicesOptions>();
  command->add_option("file", options->file, "Image: JPEG, PNG or WebP")
      ->required()
      ->check(CLI::ExistingFile);
  command
      ->add_option("-m,--model", options->model,
                   "Checkpoint directory that decides how to slice; without it LLaVA-UHD v1 as in the paper: "
                   "336 pixels, patches of 14, at most 7 slices, 64 tokens each")
      ->check(CLI::ExistingDirectory);
  command->add_option("-o,--out", options->out,
                      "Directory for the pictures; without it the image's name with -slices, here");
  command->add_option("--max-slices", options->max_slices, "Most slices")->check(CLI::Range(1, 1024));
  command->add_option("--scale", options->scale, "Native side of the vision tower, in pixels")
      ->check(CLI::Range(14, 8192));
  command->add_option("--patch", options->patch, "Side of a patch, in pixels")->check(CLI::Range(1, 256));
  command->add_option("--tokens", options->tokens, "Visual tokens of a slice")->check(CLI::Range(1, 4096));
  command
      ->add_option("--prescale", options->prescale,
                   "Scale the longest side to this many pixels first; 0: off")
      ->check(CLI::Range(0, 8192));
  command->add_flag("--json", options->json, "Print one JSON object");
  command->add_flag("--plan-only", options->plan_only, "Write no pictures; the image is not decoded");
  command->add_flag("--reference-compat", options->reference_compat,
                    "Ignore EXIF orientation and drop alpha, as the published code does");
  command->footer(
      "\nExamples:\n"
      "  uhd slices page.png\n"
      "  uhd slices photo.jpg --max-slices 6 --out slices\n"
      "  uhd slices photo.jpg --model models/nano-uhd --plan-only\n"
      "  uhd slices photo.jpg --plan-only --json | python3 -m json.tool");
  command->callback([options] { run_slices(*options); });
}

}  // namespace uhd
